//! What services ask of the decider, and how it answers.

use std::sync::Arc;

use gantry_consensus::Member;
use gantry_fleet::Fleet;
use gantry_machine::{Command, CreateVolume, Effect, Kind, Outcome, Reserve};
use gantry_placement::Choice;
use gantry_proto::WireError;
use gantry_types::{
    Certainty, HostSpec, PlaceRequest, Refused, RejectionGroup, Reservation, Rev, Volume, VolumeRequest,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::metrics::Metrics;

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

impl What {
    /// Refuses what the cluster's feature level does not allow in its log.
    pub(crate) fn allowed_in(&self, fleet: &Fleet) -> Result<(), Refused> {
        fleet.has_level(match self {
            Self::Command(command) => command.kind.as_ref().map_or(1, Kind::feature_level),
            Self::Place { request, .. } => request.feature_level(),
            Self::CreateVolume { request, .. } => request.feature_level(),
        })
    }

    /// What an earlier call with this request id came to, where a plan would be needed to do it.
    pub(crate) fn recalled(&self, fleet: &Fleet) -> Option<Outcome> {
        match self {
            Self::Command(_) => None,
            Self::Place { request, fingerprint } => Reserve::recalled(fleet, request, *fingerprint),
            Self::CreateVolume { request, fingerprint } => CreateVolume::recalled(fleet, request, *fingerprint),
        }
    }
}

/// Where an answer goes, and where it is counted. One that is dropped unused still answers: whoever waits on a stream would
/// wait for ever.
#[derive(Debug)]
pub(crate) struct Reply {
    to: Option<To>,
    counted: Option<(Metrics, Instant)>,
}

#[derive(Debug)]
enum To {
    One(oneshot::Sender<Answer>),
    /// One of many calls of a stream, by its tag.
    Tagged(u64, mpsc::UnboundedSender<(u64, Answer)>),
}

impl Reply {
    pub(crate) fn one(to: oneshot::Sender<Answer>) -> Self {
        Self { to: Some(To::One(to)), counted: None }
    }

    pub(crate) fn tagged(tag: u64, to: mpsc::UnboundedSender<(u64, Answer)>) -> Self {
        Self { to: Some(To::Tagged(tag, to)), counted: None }
    }

    /// For a call that nobody waits for.
    pub(crate) fn nobody() -> Self {
        Self { to: None, counted: None }
    }

    /// Counts the answer, and the time from now to it.
    pub(crate) fn counted(mut self, metrics: Metrics) -> Self {
        self.counted = Some((metrics, Instant::now()));
        self
    }

    pub(crate) fn send(mut self, answer: Answer) {
        self.answer(answer);
    }

    /// Whoever waited may have gone: then there is nothing to do.
    fn answer(&mut self, answer: Answer) {
        if let Some((metrics, begun)) = self.counted.take() {
            metrics.answered(&answer, begun.elapsed());
        }
        match self.to.take() {
            Some(To::One(reply)) => drop(reply.send(answer)),
            Some(To::Tagged(tag, replies)) => drop(replies.send((tag, answer))),
            None => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.to.is_some() {
            self.answer(Err(CallError::Unknown("the node stopped while deciding".to_owned())));
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
    /// What is full, and of which node.
    DiskFull(String),
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
            CallError::DiskFull(why) => Self::disk_full(why),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_a_stream_that_is_lost_is_answered_with_doubt() {
        let (replies, mut answers) = mpsc::unbounded_channel();
        drop(Reply::tagged(7, replies));
        let answer = answers.try_recv().expect("whoever waits for it waits for ever");
        assert!(matches!(answer, (7, Err(CallError::Unknown(_)))), "{answer:?}");
    }
}
