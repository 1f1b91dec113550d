//! A committed entry is on the disks of a quorum, and at one index only one entry is ever committed.

use gantry_consensus::LogPos;
use gantry_store::{Column, entry_of_record};

use super::{Check, Invariant, Moment, Seen};
use crate::disk::SimDisk;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "committed on a quorum",
    why: "an entry is committed only once it is durable on more than half of the nodes",
    begin: || Box::new(CommittedOnQuorum::default()),
};

/// Up to where was looked.
#[derive(Default)]
struct CommittedOnQuorum(u64);

impl Check for CommittedOnQuorum {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for pos in moment.committed.after(self.0) {
            let durable: Vec<u64> = moment.nodes.iter().filter(|node| has(node, pos)).map(|node| node.id).collect();
            let lost = moment.lost_disks.iter().filter(|disk| has_entry(disk, pos)).count();
            if durable.len() + lost < moment.quorum() {
                return Err(format!("{pos:?} is committed, and durable on the nodes {durable:?} only"));
            }
        }
        self.0 = moment.committed.last();
        Ok(())
    }
}

/// Whether an entry, or a snapshot that includes it, is on a node's disk for good.
fn has(node: &Seen, pos: LogPos) -> bool {
    let is_purged = |log: &gantry_store::Log| log.purged().is_some_and(|purged| purged.index >= pos.index);
    has_entry(&node.disk, pos) || node.up.as_ref().is_some_and(|up| is_purged(&up.log))
}

fn has_entry(disk: &SimDisk, pos: LogPos) -> bool {
    let record = disk.durable(Column::Log, &pos.index.to_be_bytes());
    record.and_then(|record| entry_of_record(pos.index, record).ok()).is_some_and(|entry| entry.pos == pos)
}
