//! Five nodes on a bad network.

use super::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "network",
    nodes: 5,
    faults: &["partition", "one way", "weather", "crash", "handover"],
    every_ms: (300, 3_000),
    seconds: 20,
};
