//! What a command did.

use std::sync::Arc;

use gantry_types::{HostId, Refused, Reservation, Rev, Stamp, Volume};

/// The answer to one command. A refusal changed nothing.
pub type Outcome = Result<Effect, Refused>;

/// What happened, and at which position of the log. A repeated request gets the position of its first answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Placed {
        rev: Rev,
        reservations: Vec<Arc<Reservation>>,
        missing: u32,
    },
    VolumeCreated {
        rev: Rev,
        volume: Arc<Volume>,
    },
    /// `until` is 0 where the host has confirmed, and no lease runs.
    Renewed {
        rev: Rev,
        until: Stamp,
    },
    HostRegistered {
        rev: Rev,
        host: HostId,
    },
    /// With the reservations still on the host.
    SchedulingSet {
        rev: Rev,
        reservations: u32,
    },
    /// So many leases had run out; where that is the limit of one command, there may be more.
    Expired {
        rev: Rev,
        leases: u32,
    },
    Done {
        rev: Rev,
    },
}

impl Effect {
    pub fn rev(&self) -> Rev {
        match self {
            Self::Placed { rev, .. }
            | Self::VolumeCreated { rev, .. }
            | Self::Renewed { rev, .. }
            | Self::HostRegistered { rev, .. }
            | Self::SchedulingSet { rev, .. }
            | Self::Expired { rev, .. }
            | Self::Done { rev } => *rev,
        }
    }
}
