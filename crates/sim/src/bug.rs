//! Bugs that are put in on purpose: a simulator that does not find them finds nothing.

/// One of them. The simulated disks have it, or the way that calls take to a node: production has no hook for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The disk says that it has synced, and has not.
    AnswerBeforeSync,
    /// Votes never reach the disk.
    VoteNotDurable,
    /// A request id is taken for a new one each time: it gets another on its way.
    DedupeOff,
    /// A host never runs out of room: it registers with a hundred times of what it has.
    CapacityCheckOff,
}

/// All of them, with the names they have on the command line.
pub static BUGS: &[(&str, Bug)] = &[
    ("answer-before-sync", Bug::AnswerBeforeSync),
    ("vote-not-durable", Bug::VoteNotDurable),
    ("dedupe-off", Bug::DedupeOff),
    ("capacity-check-off", Bug::CapacityCheckOff),
];
