//! S2. What a client was told is in every state that has come so far, and nothing stands that nobody asked for.

use super::{Check, Invariant, Moment, Up};
use crate::history::{Granted, Released};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "acknowledged is kept",
    why: "S2: an acknowledged placement or release survives whatever fails",
    begin: || Box::new(AcknowledgedIsKept),
};

struct AcknowledgedIsKept;

impl Check for AcknowledgedIsKept {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if !moment.thorough {
            return Ok(());
        }
        let history = moment.world.history.lock();
        for (id, up) in moment.up() {
            for granted in history.grants() {
                kept(up, granted).map_err(|why| format!("node {id}: {why}"))?;
            }
            let state = up.state.read();
            for row in state.fleet.reservations_after(0) {
                if !history.may_stand(&row.request_id) {
                    return Err(format!(
                        "node {id}: reservation {} is for {}, which was refused",
                        row.id, row.request_id
                    ));
                }
            }
        }
        // A leader has everything that anybody was told.
        let leader = moment.world.leader();
        let newest = history.grants().map(|granted| granted.rev).max().unwrap_or(0);
        for (id, up) in moment.up().filter(|(id, _)| Some(*id) == leader) {
            let rev = up.state.read().rev();
            if rev < newest {
                return Err(format!("node {id} leads at rev {rev}, and clients were told of rev {newest}"));
            }
        }
        Ok(())
    }
}

fn kept(up: &Up, granted: &Granted) -> Result<(), String> {
    let state = up.state.read();
    let (rev, Granted { id, .. }) = (state.rev(), granted);
    let row = state.fleet.reservation(*id);
    match granted.released {
        Released::No if rev >= granted.rev => match row {
            Some(row) if (row.fence, row.plan.host) == (granted.fence, granted.host) => Ok(()),
            Some(row) => Err(format!("reservation {id} is {row:?} at rev {rev}, and clients know {granted:?}")),
            None => Err(format!("reservation {id} of rev {} does not stand at rev {rev}", granted.rev)),
        },
        Released::Done { rev: released } if rev >= released && row.is_some() => {
            Err(format!("reservation {id} was released at rev {released} and stands at rev {rev}"))
        }
        _ => Ok(()),
    }
}
