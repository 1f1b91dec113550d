//! Groups of flags that several commands share.

pub mod compute;
pub mod constraints;
pub mod member;
pub mod placement;
pub mod request_id;
pub mod shape;
