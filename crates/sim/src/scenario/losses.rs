//! Nodes lose what they had, and others take their places.

use super::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "losses",
    nodes: 3,
    faults: &["lost disk", "bit rot", "cut in the middle", "crash", "partition", "lost disk"],
    every_ms: (200, 2_000),
    seconds: 25,
};
