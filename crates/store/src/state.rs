//! The replicated state of this node, in memory: what apply writes and everybody else reads.

mod events;
mod hash;

use std::sync::Arc;

use gantry_fleet::Fleet;
use gantry_types::Rev;
use parking_lot::RwLock;

pub use self::events::{Compacted, EventRing};
pub(crate) use self::hash::StateHasher;
use crate::{LogPos, Membership};

/// The state at one position of the log.
#[derive(Debug, Default)]
pub struct State {
    pub fleet: Fleet,
    /// The last entry applied, of whatever kind.
    pub applied: Option<LogPos>,
    /// Who the members were at that entry.
    pub membership: Arc<Membership>,
    /// Proposer and proposal number of the last commands applied; `(0, 0)` after a restart.
    pub last_proposal: (u64, u64),
    pub events: EventRing,
    /// Snapshots installed since the start: whoever keeps something derived from the fleet begins anew when it grows.
    pub installs: u64,
}

/// The state, shared between the one writer (apply) and all readers. Readers must not hold it for long: apply waits.
pub type SharedState = Arc<RwLock<State>>;

impl State {
    /// The log index of the last entry applied; 0 before the first.
    pub fn rev(&self) -> Rev {
        self.applied.map_or(0, |applied| applied.index)
    }

    /// Puts a snapshot's content in place of the state.
    pub(crate) fn replace(&mut self, fleet: Fleet, applied: Option<LogPos>, membership: Arc<Membership>) {
        (self.fleet, self.applied, self.membership) = (fleet, applied, membership);
        self.last_proposal = (0, 0);
        self.installs += 1;
        let rev = self.rev();
        self.events.restart_at(rev);
    }

    /// XXH3-128 over all rows in canonical order. Equal on all replicas at equal [`State::rev`] (S5). Reads every row.
    pub fn state_hash(&self) -> u128 {
        let mut hasher = StateHasher::default();
        self.fleet.rows().for_each(|row| hasher.row(&row));
        hasher.finish()
    }
}
