//! Metadata keys of ours on gRPC calls and answers.

/// On a call: `local` makes the called node answer from its own applied state, which may be behind.
pub const READ: &str = "gantry-read";
/// The value of [`READ`] for weaker reads.
pub const READ_LOCAL: &str = "local";
/// On an answer: `true` where it came from the called node's own state without asking the leader.
pub const STALE: &str = "gantry-stale";
/// On an answer that another node gave: the leader's client address, so that the next call can go there at once.
pub const LEADER: &str = "gantry-leader";
