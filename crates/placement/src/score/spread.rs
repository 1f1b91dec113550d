//! Machines of one app avoid sharing a host while others are as good.

use super::Term;

pub(super) const TERM: Term = Term {
    name: "spread",
    value: |_, room, _| -i64::from(room.app_machines),
    at_best: |_, _| 0,
    at_best_with: |_, _, _| 0,
};
