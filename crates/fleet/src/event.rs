//! What happened, for watchers and agents. Cheap to clone.

use std::sync::Arc;

use gantry_types::{HostId, Reservation, Rev, Stamp, Volume};

#[derive(Clone, Debug)]
pub struct Event {
    pub rev: Rev,
    pub stamp: Stamp,
    pub kind: EventKind,
}

#[derive(Clone, Debug)]
pub enum EventKind {
    Reserved(Arc<Reservation>),
    Confirmed(Arc<Reservation>),
    Renewed(Arc<Reservation>),
    Ended {
        reservation: Arc<Reservation>,
        reason: EndReason,
    },
    VolumeCreated(Arc<Volume>),
    VolumeDeleted(Arc<Volume>),
    /// The lease of what was held for its machine ran out. A hold that its machine ends is part of [`EventKind::Reserved`].
    HoldExpired(Arc<Volume>),
    Host {
        id: HostId,
        name: Arc<str>,
        change: HostChange,
    },
    ImageRecorded(Arc<str>),
    FeatureLevel(u32),
}

/// Why a reservation no longer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its owner released it.
    Released,
    /// Its lease ran out.
    Expired,
    /// Its host could not do it.
    Refused(String),
    /// Its machine ended.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostChange {
    Registered,
    Updated,
    Opened,
    Cordoned,
    Draining,
    Unreachable,
    Reachable,
    Removed,
}
