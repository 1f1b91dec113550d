//! The gRPC services, one file each.

pub(crate) mod cluster;
mod deadline;
pub(crate) mod fleet;
pub(crate) mod maintenance;
mod place_stream;
pub(crate) mod placement;
pub(crate) mod registry_events;
pub(crate) mod volumes;
pub(crate) mod watch;
mod window;

use gantry_types::Refused;
use tonic::Status;

/// A request that is malformed, as a status.
fn invalid(refused: Refused) -> Status {
    gantry_proto::WireError::from(refused).into()
}

/// Reads a request message.
fn read<T>(message: impl TryInto<T, Error = Refused>) -> Result<T, Status> {
    message.try_into().map_err(invalid)
}
