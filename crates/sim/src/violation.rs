//! What must never happen, and did.

use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    pub why: String,
}

/// Those of a run. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Violations(Arc<Mutex<Vec<Violation>>>);

impl Violations {
    pub fn report(&self, invariant: &'static str, why: String) {
        self.0.lock().push(Violation { invariant, why });
    }

    pub fn any(&self) -> bool {
        !self.0.lock().is_empty()
    }

    pub fn all(&self) -> Vec<Violation> {
        self.0.lock().clone()
    }
}
