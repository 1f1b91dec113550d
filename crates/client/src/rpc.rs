//! The calls, one file a service.

mod cluster;
mod fleet;
pub(crate) mod placement;
mod volumes;
mod watch;
