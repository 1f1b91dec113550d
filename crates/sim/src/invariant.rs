//! What must hold at every moment, whatever has failed. One file each; the list is [`INVARIANTS`].
//!
//! A moment is seen every few simulated milliseconds. What is costly to look at is looked at now and then, and at the end.

mod acknowledged_is_kept;
mod committed_on_quorum;
mod election_safety;
mod exactly_once;
mod leader_completeness;
mod log_matching;
mod monotonic;
mod no_oversubscription;
mod no_panic;
mod one_history;
mod state_follows_log;

use std::collections::BTreeMap;

use gantry_consensus::{LogPos, Status};
use gantry_store::{Log, ReadLimit, SharedState, Vote};

use crate::{
    disk::SimDisk,
    world::{Running, World},
};

/// Something that must hold.
#[derive(Debug)]
pub struct Invariant {
    pub name: &'static str,
    /// What it is good for.
    pub why: &'static str,
    begin: fn() -> Box<dyn Check>,
}

/// An invariant over the moments of one run.
pub(crate) trait Check {
    /// Says what is wrong, where something is.
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String>;
}

pub static INVARIANTS: &[Invariant] = &[
    no_oversubscription::INVARIANT,
    acknowledged_is_kept::INVARIANT,
    exactly_once::INVARIANT,
    one_history::INVARIANT,
    election_safety::INVARIANT,
    log_matching::INVARIANT,
    leader_completeness::INVARIANT,
    committed_on_quorum::INVARIANT,
    monotonic::INVARIANT,
    state_follows_log::INVARIANT,
    no_panic::INVARIANT,
];

/// What is seen at one moment.
pub(crate) struct Moment<'a> {
    pub world: &'a World,
    pub nodes: Vec<Seen>,
    /// Disks that no node has any more: what was durable on one was so when it counted.
    pub lost_disks: Vec<SimDisk>,
    /// Costly looks are due.
    pub thorough: bool,
    /// The entries that are known to be committed.
    pub committed: &'a Ledger,
}

/// One node.
pub(crate) struct Seen {
    pub id: u64,
    pub disk: SimDisk,
    pub up: Option<Up>,
}

/// A node that runs.
pub(crate) struct Up {
    pub life: u64,
    pub status: Status,
    pub log: Log,
    pub state: SharedState,
}

/// Committed entries, by index, as they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<u64, LogPos>,
}

impl Ledger {
    pub fn at(&self, index: u64) -> Option<LogPos> {
        self.entries.get(&index).copied()
    }

    pub fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(index, _)| *index)
    }

    pub fn after(&self, index: u64) -> impl Iterator<Item = LogPos> {
        self.entries.range(index + 1..).map(|(_, pos)| *pos)
    }

    /// Notes what a node knows to be committed. Fails where another entry was committed at one of these indexes.
    fn note(&mut self, id: u64, up: &Up) -> Result<(), String> {
        let Some(committed) = up.status.committed else { return Ok(()) };
        if let Some(known) = self.at(committed.index) {
            return if known == committed {
                Ok(())
            } else {
                Err(format!("node {id} committed {committed:?}, and {known:?} was committed before"))
            };
        }
        for pos in positions(&up.log, self.last() + 1..committed.index + 1) {
            self.entries.insert(pos.index, pos);
        }
        self.entries.insert(committed.index, committed);
        Ok(())
    }
}

/// Where the entries of a range are that a log holds.
fn positions(log: &Log, range: std::ops::Range<u64>) -> Vec<LogPos> {
    let entries = log.read(range, ReadLimit::NONE).unwrap_or_default();
    entries.into_iter().map(|entry| entry.pos).collect()
}

impl Moment<'_> {
    pub fn up(&self) -> impl Iterator<Item = (u64, &Up)> {
        self.nodes.iter().filter_map(|node| Some((node.id, node.up.as_ref()?)))
    }

    /// More than half of all nodes.
    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }
}

/// Votes in order: by term, then by node.
fn rank(vote: Vote) -> (u64, u64) {
    (vote.term, vote.node)
}

/// Looks at one run.
pub(crate) struct Checker {
    checks: Vec<(&'static str, Box<dyn Check>)>,
    committed: Ledger,
    /// Snapshots that each life of a node has installed.
    installs: BTreeMap<(u64, u64), u64>,
}

impl Default for Checker {
    fn default() -> Self {
        let checks = INVARIANTS.iter().map(|invariant| (invariant.name, (invariant.begin)())).collect();
        Self { checks, committed: Ledger::default(), installs: BTreeMap::new() }
    }
}

impl Checker {
    /// Looks at everything as it is now, and reports what does not hold.
    pub fn look(&mut self, world: &World, thorough: bool) {
        let up = |Running { life, consensus, .. }: Running| Up {
            life,
            status: consensus.status(),
            log: consensus.log(),
            state: consensus.state(),
        };
        let seen = |id| Seen { id, disk: world.disk(id), up: world.running(id).map(up) };
        let nodes: Vec<Seen> = world.ids().into_iter().map(seen).collect();
        for (id, up) in nodes.iter().filter_map(|node| Some((node.id, node.up.as_ref()?))) {
            if let Err(why) = self.committed.note(id, up) {
                world.violations.report("committed on a quorum", why);
            }
            let installs = up.state.read().installs;
            if self.installs.insert((id, up.life), installs).unwrap_or(0) < installs {
                world.count("snapshots installed");
                world.trace.line(format!("node {id} has installed a snapshot"));
            }
        }
        let lost_disks = world.lost_disks();
        let moment = Moment { world, nodes, lost_disks, thorough, committed: &self.committed };
        for (name, check) in &mut self.checks {
            if let Err(why) = check.look(&moment) {
                world.violations.report(name, why);
            }
        }
    }
}
