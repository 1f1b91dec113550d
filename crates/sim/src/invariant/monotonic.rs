//! While a node lives, its vote, what it knows to be committed and what it has applied only grow.

use std::collections::BTreeMap;

use super::{Check, Invariant, Moment, rank};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "monotonic",
    why: "vote, committed and applied never go back in one life of a node, and nothing is applied that is not committed",
    begin: || Box::new(Monotonic::default()),
};

/// What each life of a node was last seen with.
#[derive(Default)]
struct Monotonic(BTreeMap<(u64, u64), Marks>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    vote: (u64, u64),
    committed: u64,
    applied: u64,
    rev: u64,
}

impl Check for Monotonic {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for (id, up) in moment.up() {
            let index = |pos: Option<gantry_consensus::LogPos>| pos.map_or(0, |pos| pos.index);
            let now = Marks {
                vote: rank(up.status.vote),
                committed: index(up.status.committed),
                applied: index(up.status.applied),
                rev: up.state.read().rev(),
            };
            if let Some(last) = self.0.insert((id, up.life), now)
                && (now.vote < last.vote
                    || now.committed < last.committed
                    || now.applied < last.applied
                    || now.rev < last.rev)
            {
                return Err(format!("node {id} went from {last:?} back to {now:?}"));
            }
        }
        Ok(())
    }
}
