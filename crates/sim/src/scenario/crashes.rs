//! Three nodes that are killed, and lose their power.

use super::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "crashes",
    nodes: 3,
    faults: &["crash", "crash", "power cut", "cut in the middle", "handover"],
    every_ms: (200, 2_500),
    seconds: 20,
};
