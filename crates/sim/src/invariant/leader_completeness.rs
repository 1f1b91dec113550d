//! A leader has every entry that was committed before it was elected.

use gantry_consensus::Standing;
use gantry_store::ReadLimit;

use super::{Check, Invariant, Moment, rank};

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
        for committed in moment.committed.after(from) {
            let read = up.log.read(committed.index..committed.index + 1, ReadLimit::NONE);
            // What has rotted is there: whoever needs it finds that it cannot be read.
            let Ok(read) = read else { continue };
            let has = read.first().map(|entry| entry.pos);
            if has != Some(committed) {
                return Err(format!("node {id} leads by {vote:?} with {has:?} where {committed:?} was committed"));
            }
        }
        Ok(())
    }
}
