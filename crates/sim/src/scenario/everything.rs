//! Everything at once.

use super::Scenario;

const ALL: &[&str] = &[
    "crash",
    "power cut",
    "partition",
    "one way",
    "weather",
    "slow disk",
    "failing sync",
    "full disk",
    "clock",
    "handover",
    "cut in the middle",
    "lost disk",
    "bit rot",
];

pub(super) const OF_THREE: Scenario =
    Scenario { name: "everything, three nodes", nodes: 3, faults: ALL, every_ms: (100, 2_000), seconds: 25 };

pub(super) const OF_FIVE: Scenario =
    Scenario { name: "everything, five nodes", nodes: 5, faults: ALL, every_ms: (100, 2_000), seconds: 25 };
