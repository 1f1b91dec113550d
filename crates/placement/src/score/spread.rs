//! Machines of one app avoid sharing a host while others are as good.

use super::Term;

/// For each machine of the app that is there: less than anybody notices.
const MACHINE_US: i64 = 20_000;

pub(super) const TERM: Term = Term {
    name: "spread",
    cost_us: |_, room, _| i64::from(room.app_machines) * MACHINE_US,
    at_least_us: |_| 0,
    weight: |weights| weights.spread,
};
