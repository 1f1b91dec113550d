//! One running member: what every service holds a handle of.

use std::sync::Arc;

use gantry_consensus::{Consensus, ProposeError, SharedState};
use gantry_fleet::Fleet;
use gantry_machine::{Command, fingerprint};
use gantry_proto::{WireError, header};
use gantry_types::{PlaceRequest, Rev, VolumeRequest};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tonic::metadata::MetadataMap;

use crate::{
    agents::Agents,
    call::{Answer, Call, CallError, Reply, What},
    config::Limits,
    images::Images,
    joining::clock_unix_ms,
    metrics::Metrics,
};

#[derive(Clone, Debug)]
pub(crate) struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    consensus: Consensus,
    calls: mpsc::Sender<Call>,
    agents: Agents,
    limits: Limits,
    metrics: Metrics,
    images: Images,
    started_unix_ms: i64,
}

impl Node {
    pub(crate) fn new(
        consensus: Consensus,
        calls: mpsc::Sender<Call>,
        limits: Limits,
        metrics: Metrics,
        images: Images,
    ) -> Self {
        let (agents, started_unix_ms) = (Agents::default(), clock_unix_ms());
        Self(Arc::new(Inner { consensus, calls, agents, limits, metrics, images, started_unix_ms }))
    }

    pub(crate) fn consensus(&self) -> &Consensus {
        &self.0.consensus
    }

    pub(crate) fn started_unix_ms(&self) -> i64 {
        self.0.started_unix_ms
    }

    pub(crate) fn agents(&self) -> &Agents {
        &self.0.agents
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    pub(crate) fn state(&self) -> SharedState {
        self.0.consensus.state()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn images(&self) -> &Images {
        &self.0.images
    }

    /// Hands a call to the decider, once what it has to know of its image is known or takes too long.
    pub(crate) fn submit(&self, what: What, deadline: Option<Instant>, reply: Reply) {
        let reply = reply.counted(self.0.metrics.clone());
        let call = Call { what, deadline, attempts: 0, reply };
        if let Some(call) = self.0.images.first(self, call) {
            self.decide_now(call);
        }
    }

    /// Hands a call to the decider. Where its queue is full the call is refused at once.
    pub(crate) fn decide_now(&self, call: Call) {
        match self.0.calls.try_send(call) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(call)) => {
                call.reply.send(Err(CallError::Overloaded));
            }
            Err(mpsc::error::TrySendError::Closed(call)) => call.reply.send(Err(CallError::Stopped)),
        }
    }

    /// Hands a call to the decider and waits for the answer.
    pub(crate) async fn decide(&self, what: What, deadline: Option<Instant>) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.submit(what, deadline, Reply::one(reply));
        answer.await.unwrap_or_else(|_| Err(CallError::Unknown("the node stopped while deciding".to_owned())))
    }

    pub(crate) async fn command(&self, command: impl Into<Command>, deadline: Option<Instant>) -> Answer {
        self.decide(What::Command(command.into()), deadline).await
    }

    /// Reads the state. Unless the caller asked for a local read, it is as of a moment after the call began: this node
    /// still led then, and everything committed before is in it. For a look at a few rows.
    pub(crate) async fn read<R>(
        &self,
        metadata: &MetadataMap,
        look: impl FnOnce(&Fleet, Rev) -> R,
    ) -> Result<tonic::Response<R>, tonic::Status> {
        let local = self.confirm(metadata).await?;
        let state = self.state();
        let looked = {
            let state = state.read();
            look(&state.fleet, state.rev())
        };
        Ok(looked_at(looked, local))
    }

    /// As [`Node::read`], for a look that may go over the whole state: not on a thread that serves other calls.
    pub(crate) async fn scan<R: Send + 'static>(
        &self,
        metadata: &MetadataMap,
        look: impl FnOnce(&Fleet, Rev) -> R + Send + 'static,
    ) -> Result<tonic::Response<R>, tonic::Status> {
        let local = self.confirm(metadata).await?;
        let state = self.state();
        let looked = tokio::task::spawn_blocking(move || {
            let state = state.read();
            look(&state.fleet, state.rev())
        });
        Ok(looked_at(looked.await.map_err(unread)?, local))
    }

    /// Makes sure that the state is current, unless the caller does not ask for that.
    async fn confirm(&self, metadata: &MetadataMap) -> Result<bool, CallError> {
        let local = is_local_read(metadata);
        if !local {
            self.0.consensus.read_index().await.map_err(not_read)?;
        }
        Ok(local)
    }
}

/// A look at the state that died. It changed nothing, but this node is broken.
pub(crate) fn unread(error: tokio::task::JoinError) -> WireError {
    WireError::internal(format!("the state could not be read: {error}"))
}

fn looked_at<R>(looked: R, local: bool) -> tonic::Response<R> {
    let mut response = tonic::Response::new(looked);
    if local {
        response.metadata_mut().insert(header::STALE, tonic::metadata::MetadataValue::from_static("true"));
    }
    response
}

pub(crate) fn is_local_read(metadata: &MetadataMap) -> bool {
    metadata.get(header::READ).is_some_and(|value| value == header::READ_LOCAL)
}

/// A read that could not be confirmed changed nothing.
pub(crate) fn not_read(error: ProposeError) -> CallError {
    match error {
        ProposeError::NotLeader { leader } => CallError::NotLeader(leader),
        ProposeError::Stopped { .. } => CallError::Stopped,
        ProposeError::Busy => CallError::Overloaded,
        _ => CallError::NotLeader(None),
    }
}

impl What {
    pub(crate) fn place(request: PlaceRequest) -> Self {
        Self::Place { fingerprint: fingerprint(&request), request }
    }

    pub(crate) fn create_volume(request: VolumeRequest) -> Self {
        Self::CreateVolume { fingerprint: fingerprint(&request), request }
    }
}
