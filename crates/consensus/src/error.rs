//! What callers of consensus are told.

use gantry_store::{Member, OpenError};

/// Why a node did not start. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the consensus settings do not fit together: {why}")]
    Config { why: String },
    #[error("the node cannot take up its log: {why}")]
    Recover { why: String },
}

/// Why a proposal, or the confirmation of a read, came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Definite: nothing was proposed.
    #[error("this node is not the leader{}", leads(leader.as_ref()))]
    NotLeader { leader: Option<Member> },
    /// Indefinite: it may be committed, or may still be.
    #[error("it is not known whether the entry is committed: {why}")]
    Unknown { why: String },
    /// Definite: nothing was proposed.
    #[error("the entry has {bytes} bytes: at most {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// Definite: nothing was proposed. Too much is under way; try again later.
    #[error("too many proposals are under way: try again in a moment")]
    Busy,
    /// Definite: nothing was proposed. This node leads, but too few others have answered lately to be sure of it; they may in a
    /// moment, or another node leads by then.
    #[error("too few members have answered lately: try again in a moment")]
    Unheard,
    /// Definite: nothing was proposed. This node will not come back without a restart.
    #[error("this node has stopped: {why}")]
    Stopped { why: String },
}

impl ProposeError {
    /// False where the entry may be in the log.
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

fn leads(leader: Option<&Member>) -> String {
    leader.map_or_else(|| ", and none is known yet".to_owned(), |leader| format!(", node {} is", leader.id))
}

/// Why a change of the members came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    #[error("this node is not the leader{}", leads(leader.as_ref()))]
    NotLeader { leader: Option<Member> },
    /// The cluster was formed before.
    #[error("this node is already part of a cluster: use `gantry cluster join` to add members")]
    AlreadyFormed,
    /// What was asked for makes no sense, or is not safe.
    #[error("{why}")]
    Refused { why: String },
    /// A learner has not caught up in time.
    #[error("node {id} has log entry {have} of {want}: promote it once it has caught up")]
    Behind { id: u64, have: u64, want: u64 },
    /// Another change is under way.
    #[error("another change of the members is under way: try again in a moment")]
    InProgress,
    /// It may be done, or may still be: look at the status, and do it again.
    #[error("it is not known whether the change is done: {why}")]
    Unknown { why: String },
    #[error("this node has stopped: {why}")]
    Stopped { why: String },
}

impl MembershipError {
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }
}
