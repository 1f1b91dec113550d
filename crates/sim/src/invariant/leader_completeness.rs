//! A leader has every entry that was committed before it was elected.

use gantry_consensus::Standing;

use super::{Check, Invariant, Moment, positions, rank};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "leader completeness",
    why: "what was committed is in the log of every later leader",
    begin: || Box::new(LeaderCompleteness::default()),
};

/// The newest leader that was looked at.
#[derive(Default)]
struct LeaderCompleteness((u64, u64));

impl Check for LeaderCompleteness {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let leaders = moment.up().filter(|(_, up)| up.status.standing == Standing::Leader);
        let Some((id, up)) = leaders.max_by_key(|(_, up)| rank(up.status.vote)) else { return Ok(()) };
        let vote = rank(up.status.vote);
        if vote <= self.0 {
            return Ok(());
        }
        self.0 = vote;
        let from = up.log.purged().map_or(0, |purged| purged.index);
        let has = positions(&up.log, from + 1..u64::MAX);
        for committed in moment.committed.after(from) {
            let at = has.binary_search_by_key(&committed.index, |pos| pos.index);
            match at.ok().map(|at| has[at]) {
                Some(pos) if pos == committed => {}
                other => {
                    return Err(format!(
                        "node {id} leads by {vote:?} with {other:?} where {committed:?} was committed"
                    ));
                }
            }
        }
        Ok(())
    }
}
