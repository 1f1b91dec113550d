//! How much a fleet may hold (S9).

use gantry_types::{Refused, limits};

use crate::Fleet;

/// Rows of each kind that a fleet may hold. Part of the replicated behaviour: outside of tests every fleet has those of
/// `limits`, which are the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub hosts: usize,
    pub images: usize,
    pub layers: usize,
    pub reservations: usize,
    pub volumes: usize,
    pub requests: usize,
    pub region_aliases: usize,
    pub policies: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            hosts: limits::HOSTS,
            images: limits::IMAGES,
            layers: limits::LAYERS,
            reservations: limits::RESERVATIONS,
            volumes: limits::VOLUMES,
            requests: limits::REQUEST_MEMORY,
            region_aliases: limits::REGION_ALIASES,
            policies: limits::POLICIES,
        }
    }
}

impl Fleet {
    /// An empty fleet with other bounds than the usual ones, for tests that reach them.
    pub fn bounded(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Whether so many more reservations may stand.
    pub fn room_for_reservations(&self, more: usize) -> Result<(), Refused> {
        room("reservations", self.reservations.len(), more, self.bounds.reservations)
    }

    /// Whether one more volume may exist.
    pub fn room_for_volume(&self) -> Result<(), Refused> {
        room("volumes", self.volumes.len(), 1, self.bounds.volumes)
    }

    /// Whether one more answer can be remembered.
    pub fn room_for_request(&self) -> Result<(), Refused> {
        if self.requests.len() < self.bounds.requests {
            return Ok(());
        }
        Err(Refused::RequestMemoryFull { limit: self.bounds.requests })
    }
}

/// Whether `more` fit beside those that are there.
pub(crate) fn room(what: &'static str, have: usize, more: usize, limit: usize) -> Result<(), Refused> {
    if have + more > limit {
        return Err(Refused::Full { what, limit });
    }
    Ok(())
}
