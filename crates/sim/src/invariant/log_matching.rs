//! Two logs that have one entry in common have everything before it in common.

use std::collections::BTreeMap;

use gantry_consensus::LogPos;
use gantry_store::{Payload, ReadLimit};

use super::{Check, Invariant, Moment, Up, positions};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "log matching",
    why: "entries of one index and one leader are the same everywhere, and so is what comes before them",
    begin: || Box::new(LogMatching::default()),
};

#[derive(Default)]
struct LogMatching {
    /// Each entry ever seen, with the one before it and a sum over its content.
    entries: BTreeMap<LogPos, (Option<LogPos>, u32)>,
    /// Up to where each life of a node was looked at.
    upto: BTreeMap<(u64, u64), LogPos>,
}

impl Check for LogMatching {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for (id, up) in moment.up() {
            let Some(last) = up.log.last() else { continue };
            let looked = self.upto.insert((id, up.life), last);
            if looked != Some(last) {
                self.entries_of(id, up, looked, last)?;
            }
        }
        Ok(())
    }
}

impl LogMatching {
    fn entries_of(&mut self, id: u64, up: &Up, looked: Option<LogPos>, last: LogPos) -> Result<(), String> {
        let purged = up.log.purged();
        // What was cut and written anew since lies behind what is committed.
        let kept = looked.filter(|looked| positions(&up.log, looked.index..looked.index + 1).contains(looked));
        let before = kept.or(purged);
        let first = before.map_or(0, |before| before.index + 1);
        let mut before = before;
        for entry in up.log.read(first..last.index + 1, ReadLimit::NONE).unwrap_or_default() {
            let sum = sum(&entry.payload);
            let found = (before, sum);
            let known = *self.entries.entry(entry.pos).or_insert(found);
            if known != found {
                return Err(format!("node {id} has {:?} as {found:?}, another had it as {known:?}", entry.pos));
            }
            before = Some(entry.pos);
        }
        Ok(())
    }
}

fn sum(payload: &Payload) -> u32 {
    match payload {
        Payload::Commands(commands) => crc32fast::hash(&commands.bytes),
        other => crc32fast::hash(format!("{other:?}").as_bytes()),
    }
}
