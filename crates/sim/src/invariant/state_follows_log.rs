//! Log and state share one write-ahead log, of which a power cut leaves a part: whatever part that is, the state in it comes from
//! the log in it.

use super::{Check, Invariant, Moment};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "state follows log",
    why: "a state is written only after the entries that it comes from",
    begin: || Box::new(StateFollowsLog),
};

struct StateFollowsLog;

impl Check for StateFollowsLog {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for node in &moment.nodes {
            if let Some(why) = node.disk.inverted() {
                return Err(format!("node {}: {why}", node.id));
            }
        }
        Ok(())
    }
}
