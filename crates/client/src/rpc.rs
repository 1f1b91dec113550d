//! The calls, one file a service.

mod cluster;
mod fleet;
mod maintenance;
pub(crate) mod placement;
mod volumes;
mod watch;
