//! The stable upper-case words in `ErrorDetail.reason` that programs branch on.
//!
//! The reasons of domain refusals belong to [`gantry_types::Refused::reason`]; those that clients act on are repeated
//! here as constants, and a test holds the two together.

/// No host fits: `ErrorDetail.rejections` says why.
pub const NO_CAPACITY: &str = "NO_CAPACITY";
/// Other plans won the race for the host, more often than the leader tries again.
pub const CONTENDED: &str = "CONTENDED";
/// A host declares less than it has promised.
pub const LESS_THAN_PROMISED: &str = "LESS_THAN_PROMISED";
/// The node cannot decide, another one (or none yet) leads. Nothing was proposed.
pub const NOT_LEADER: &str = "NOT_LEADER";
/// A queue is full. Nothing was proposed.
pub const OVERLOADED: &str = "OVERLOADED";
/// The disks are nearly full: nothing is taken on before there is room. Nothing was proposed.
pub const DISK_FULL: &str = "DISK_FULL";
/// The outcome is not known: leadership or the connection was lost after the proposal.
pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
/// The call's deadline passed.
pub const DEADLINE: &str = "DEADLINE";
/// A message is over its size limit.
pub const TOO_LARGE: &str = "TOO_LARGE";
/// The members cannot be changed like that now.
pub const MEMBERSHIP: &str = "MEMBERSHIP";
/// The node is shutting down.
pub const STOPPED: &str = "STOPPED";
/// The events asked for are no longer held; `ErrorDetail.rev` is the oldest one that can be resumed from.
pub const COMPACTED: &str = "COMPACTED";
/// No connection could be made. Made up by clients; servers never send it.
pub const UNREACHABLE: &str = "UNREACHABLE";
/// A bug or a broken disk on the server.
pub const INTERNAL: &str = "INTERNAL";
