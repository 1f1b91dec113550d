//! What services ask of the decider, and how it answers.

use std::sync::Arc;

use gantry_consensus::Member;
use gantry_machine::{Command, Effect};
use gantry_placement::Choice;
use gantry_proto::WireError;
use gantry_types::{
    Certainty, HostSpec, PlaceRequest, Refused, RejectionGroup, Reservation, Rev, Volume, VolumeRequest,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// One thing to decide or to commit.
#[derive(Debug)]
pub(crate) struct Call {
    pub what: What,
    /// After it nothing is proposed for this call any more.
    pub deadline: Option<Instant>,
    /// How often it was planned and then lost its host, or was refused by plans in flight.
    pub attempts: u32,
    pub reply: Reply,
}

#[derive(Debug)]
pub(crate) enum What {
    Place {
        request: PlaceRequest,
        fingerprint: u64,
    },
    CreateVolume {
        request: VolumeRequest,
        fingerprint: u64,
    },
    /// Nothing to plan.
    Command(Command),
}

/// Where an answer goes.
#[derive(Debug)]
pub(crate) enum Reply {
    One(oneshot::Sender<Answer>),
    /// One of many calls of a stream, by its tag.
    Tagged(u64, mpsc::UnboundedSender<(u64, Answer)>),
    /// Nobody waits.
    Nobody,
}

impl Reply {
    /// Whoever waited may have gone: then there is nothing to do.
    pub(crate) fn send(self, answer: Answer) {
        match self {
            Self::One(reply) => drop(reply.send(answer)),
            Self::Tagged(tag, replies) => drop(replies.send((tag, answer))),
            Self::Nobody => {}
        }
    }
}

pub(crate) type Answer = Result<Answered, CallError>;

#[derive(Debug)]
pub(crate) enum Answered {
    Placed(Placed),
    Volume { rev: Rev, volume: Arc<Volume>, host: Arc<HostSpec> },
    Did(Effect),
}

/// A placement with all that an answer says about it.
#[derive(Debug)]
pub(crate) struct Placed {
    pub rev: Rev,
    pub reservations: Vec<Arc<Reservation>>,
    /// The hosts of the reservations, same order.
    pub hosts: Vec<Arc<HostSpec>>,
    pub missing: u32,
    pub rejections: Vec<RejectionGroup>,
    pub choices: Vec<Choice>,
}

/// Why a call has no answer of the domain's own.
#[derive(Debug)]
pub(crate) enum CallError {
    Refused(Refused),
    NotLeader(Option<Member>),
    Overloaded,
    Deadline,
    TooLarge {
        bytes: u64,
        limit: u64,
    },
    /// It may have happened.
    Unknown(String),
    Stopped,
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<CallError> for WireError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refused) => Self::from(refused),
            CallError::NotLeader(leader) => Self::not_leader(leader.as_ref().map(|m| m.client_addr.as_str())),
            CallError::Overloaded => Self::overloaded("calls"),
            CallError::Deadline => Self::deadline(Certainty::Definite),
            CallError::TooLarge { bytes, limit } => Self::too_large("the log entry", bytes, limit),
            CallError::Unknown(why) => Self::outcome_unknown(why),
            CallError::Stopped => Self::stopped(),
        }
    }
}

impl From<CallError> for tonic::Status {
    fn from(error: CallError) -> Self {
        WireError::from(error).into()
    }
}
