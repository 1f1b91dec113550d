//! Three nodes on bad disks.

use super::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "disks",
    nodes: 3,
    faults: &["slow disk", "failing sync", "full disk", "power cut", "crash"],
    every_ms: (200, 2_500),
    seconds: 20,
};
