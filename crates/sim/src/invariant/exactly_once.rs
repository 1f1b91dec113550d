//! S3. One request has one answer, and one reservation one request.

use super::{Check, Invariant, Moment};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "exactly once",
    why: "S3: the same request id gets the same answer, however often and wherever it is sent",
    begin: || Box::new(ExactlyOnce),
};

struct ExactlyOnce;

impl Check for ExactlyOnce {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let history = moment.world.history.lock();
        history.contradictions().first().map_or(Ok(()), |why| Err(why.clone()))
    }
}
