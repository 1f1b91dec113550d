//! Generated messages to and from the domain, one file a noun.
//!
//! Conversions from messages take them by value and reuse their strings. They end with the domain type's own
//! `validate()`, so what comes out is fit to propose. Requests that have no type in the domain are checked in place,
//! with a `check()` on the generated message. Every refusal names the field.

pub mod cluster;
pub mod constraints;
pub mod device;
pub mod explain;
pub mod host;
pub mod image;
pub mod label;
pub mod layer;
pub mod page;
pub mod place;
pub mod policy;
pub mod rates;
pub mod region;
pub mod rejection;
pub mod release;
pub mod reservation;
pub mod shape;
pub mod volume;
pub mod watch;

pub(crate) use cluster::address;
pub use explain::Explain;
pub use layer::{LayerReport, PresentLayer};
pub use page::page;
pub use region::region_alias;
pub use rejection::{rejection, rejections};
pub use reservation::reservation;
pub use volume::volume;

#[cfg(test)]
mod arbitrary;
