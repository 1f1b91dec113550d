//! One running member: what every service holds a handle of.

use std::{sync::Arc, time::Duration};

use gantry_consensus::{Consensus, ProposeError, SharedState};
use gantry_fleet::Fleet;
use gantry_machine::{Command, RecordImage, fingerprint};
use gantry_proto::{WireError, header};
use gantry_types::{Image, PlaceRequest, Rev, VolumeRequest};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
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

/// How long a call waits until what it says of its image is recorded.
const TAUGHT_WITHIN: Duration = Duration::from_secs(1);
/// Calls that warm an image at a time.
const WARMINGS: usize = 64;

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
    warmings: Arc<Semaphore>,
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
        let warmings = Arc::new(Semaphore::new(WARMINGS));
        Self(Arc::new(Inner { consensus, calls, agents, limits, metrics, images, warmings, started_unix_ms }))
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

    /// How many images may be warmed at a time.
    pub(crate) fn warmings(&self) -> &Arc<Semaphore> {
        &self.0.warmings
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

    /// As [`Node::submit`], of a caller that says what its image is: that is recorded first. It is a hint: a call is decided
    /// without it where it is refused, or takes more than half of the caller's time.
    pub(crate) fn submit_taught(&self, manifest: Option<Image>, what: What, deadline: Option<Instant>, reply: Reply) {
        let is_news = |image: &Image| {
            let state = self.state();
            let state = state.read();
            state.fleet.image(&image.reference).is_none_or(|known| *known.image != *image)
        };
        let Some(image) = manifest.filter(is_news) else { return self.submit(what, deadline, reply) };
        let (node, now) = (self.clone(), Instant::now());
        let patience = deadline.map_or(TAUGHT_WITHIN, |deadline| (deadline.duration_since(now) / 2).min(TAUGHT_WITHIN));
        tokio::spawn(async move {
            match timeout_at(now + patience, node.command(RecordImage { image }, None)).await {
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => {
                    tracing::debug!(error = %WireError::from(error), "what a caller says of its image is not recorded")
                }
            }
            node.submit(what, deadline, reply);
        });
    }

    /// As [`Node::decide`], of a caller that says what its image is.
    pub(crate) async fn decide_taught(&self, manifest: Option<Image>, what: What, deadline: Option<Instant>) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.submit_taught(manifest, what, deadline, Reply::one(reply));
        answer.await.unwrap_or_else(|_| Err(stopped()))
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
        answer.await.unwrap_or_else(|_| Err(stopped()))
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

fn stopped() -> CallError {
    CallError::Unknown("the node stopped while deciding".to_owned())
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
