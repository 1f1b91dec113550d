//! S5. States at the same rev are the same. (The nodes compare them among themselves too, and one that differs stops.)

use std::collections::BTreeMap;

use super::{Check, Invariant, Moment};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "one history",
    why: "S5: the same log makes the same state, on every replica and after every restart",
    begin: || Box::new(OneHistory::default()),
};

/// The hash at each rev that was looked at, and whose it was.
#[derive(Default)]
struct OneHistory(BTreeMap<u64, (u128, u64)>);

impl Check for OneHistory {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if !moment.thorough {
            return Ok(());
        }
        for (id, up) in moment.up() {
            let state = up.state.read();
            let (rev, hash) = (state.rev(), state.state_hash());
            let (known, whose) = *self.0.entry(rev).or_insert((hash, id));
            if known != hash {
                return Err(format!("at rev {rev} node {whose} has the state {known:032x}, node {id} has {hash:032x}"));
            }
        }
        Ok(())
    }
}
