//! Nothing panics: in production it would end the process.

use super::{Check, Invariant, Moment};
use crate::panics;

pub(super) const INVARIANT: Invariant =
    Invariant { name: "no panic", why: "a panic ends the process in production", begin: || Box::new(NoPanic) };

struct NoPanic;

impl Check for NoPanic {
    fn look(&mut self, _: &Moment<'_>) -> Result<(), String> {
        panics::taken().map_or(Ok(()), Err)
    }
}
