//! A leader has the votes of a quorum, on their disks.

use std::collections::BTreeSet;

use gantry_consensus::Standing;
use gantry_store::{Column, VOTE_KEY, vote_of_record};

use super::{Check, Invariant, Moment, Seen, rank};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "election safety",
    why: "a term's leader is elected by a quorum whose votes are durable, so there is no second one",
    begin: || Box::new(ElectionSafety::default()),
};

/// Leaders that were looked at.
#[derive(Default)]
struct ElectionSafety(BTreeSet<(u64, u64)>);

impl Check for ElectionSafety {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for (id, up) in moment.up().filter(|(_, up)| up.status.standing == Standing::Leader) {
            let vote = up.status.vote;
            if vote.node != id {
                return Err(format!("node {id} leads by {vote:?}"));
            }
            if !self.0.insert(rank(vote)) {
                continue;
            }
            moment.world.trace.line(format!("node {id} leads in term {}", vote.term));
            moment.world.count("elections");
            let voters = moment.nodes.iter().filter(|node| durable_vote(node) >= rank(vote)).count();
            if voters < moment.quorum() {
                return Err(format!("node {id} leads by {vote:?}, which only {voters} disks know of"));
            }
        }
        Ok(())
    }
}

fn durable_vote(node: &Seen) -> (u64, u64) {
    let record = node.disk.durable(Column::Meta, VOTE_KEY);
    record.and_then(|record| vote_of_record(&record).ok()).map_or((0, 0), rank)
}
