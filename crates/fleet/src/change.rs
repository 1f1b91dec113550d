//! Which rows a command touched.

use gantry_types::{HostId, LayerId, ReservationId, VolumeId};

/// Names one row. A row that is gone when its change is looked at was deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    Meta,
    Layer(LayerId),
    Image(String),
    Host(HostId),
    /// The layers that lie on a host.
    Layers(HostId),
    Volume(VolumeId),
    Reservation(ReservationId),
    /// A remembered request, by its sequence number.
    Request(u64),
    /// By its name.
    RegionAlias(String),
    /// By its app.
    Policy(String),
}
