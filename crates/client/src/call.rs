//! The rules of repeating a call.
//!
//! - A definite error is the answer, except *not leader*, *unreachable*, *stopped*, *overloaded*, *contended* and the
//!   *deadline* of one try: nothing happened, and another node or a moment later may do.
//! - An indefinite error is repeated where the call has a request id or does the same when done twice.
//! - Every try sends the same message, so the same request id.
//! - Tries, pauses and the time of all together are bounded by [`Retry`](crate::Retry).

use std::{future::Future, sync::Arc, time::Duration};

use gantry_proto::{header, reason, v1::ErrorDetail};
use tokio::time::Instant;
use tonic::{
    Code, Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};

use crate::{Client, Error, node::Node};

/// Bytes of one message from a server: a full page of any listing.
pub(crate) const RESPONSE_BYTES: usize = 64 << 20;

/// Whether a call may be made again when it is not known what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It has a request id, changes nothing, or does the same when done twice.
    Always,
    /// Only when nothing happened.
    IfDefinite,
}

/// One try of a call.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) channel: Channel,
    pub(crate) node: Arc<Node>,
    timeout: Duration,
    local_read: bool,
}

impl Attempt {
    /// A message with the deadline that the server must keep.
    pub(crate) fn unary<T>(&self, message: T) -> Request<T> {
        let mut request = self.streaming(message);
        request.set_timeout(self.timeout);
        request
    }

    /// A message without a deadline: the stream lives until one side ends it.
    pub(crate) fn streaming<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if self.local_read {
            let local = MetadataValue::from_static(header::READ_LOCAL);
            request.metadata_mut().insert(header::READ, local);
        }
        request
    }
}

/// What to do after a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GiveUp,
    /// The same node, after a pause.
    Pause,
    /// Another node: at once while there is one that was not asked yet.
    Move,
}

/// What an error means for the next try; see the rules above.
pub(crate) fn next(detail: &ErrorDetail, code: Code, repeat: Repeat) -> Next {
    match detail.reason.as_str() {
        reason::NOT_LEADER | reason::UNREACHABLE | reason::STOPPED | reason::DEADLINE if !detail.indefinite => {
            Next::Move
        }
        reason::OVERLOADED | reason::CONTENDED if !detail.indefinite => Next::Pause,
        _ if detail.indefinite && repeat == Repeat::Always => match code {
            Code::Internal => Next::Pause,
            _ => Next::Move,
        },
        _ => Next::GiveUp,
    }
}

impl Client {
    /// Makes a call, repeats it while that is safe and in bounds, and keeps the leader in mind.
    pub(crate) async fn call<T, F>(&self, repeat: Repeat, rpc: impl Fn(Attempt) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.doubtful_call(repeat, rpc).await.map(|(answer, _)| answer)
    }

    /// As [`Self::call`], for an answer that holds errors: with whether a try before the answered one may have had an
    /// effect, which none of these errors knows of.
    pub(crate) async fn doubtful_call<T, F>(
        &self,
        repeat: Repeat,
        rpc: impl Fn(Attempt) -> F,
    ) -> Result<(T, bool), Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.retry.deadline;
        let (mut attempts, mut pauses, mut asked, mut unsure) = (0, 0, 0, false);
        loop {
            let node = self.nodes.current();
            let mut error = match self.attempt(&node, deadline, &rpc).await {
                Ok(response) => return Ok((response, unsure)),
                Err(error) => error,
            };
            attempts += 1;
            asked += 1;
            // Once a try may have had an effect, no later "no" takes that back: the first one may still arrive.
            unsure |= error.indefinite();
            let next = next(&error.detail, error.code, repeat);
            if next == Next::Move {
                self.leave(&node, &error);
            }
            let pause = match next {
                Next::Move if asked < self.nodes.count() => Duration::ZERO,
                _ => self.retry.pause(pauses),
            };
            let left = deadline.saturating_duration_since(Instant::now() + pause);
            if next == Next::GiveUp || attempts >= self.retry.attempts || !self.retry.is_worth_a_try(left) {
                error.attempts = attempts;
                error.detail.indefinite = unsure;
                return Err(error);
            }
            if !pause.is_zero() {
                (pauses, asked) = (pauses + 1, 0);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// One try, at this node.
    pub(crate) async fn attempt<T, F>(
        &self,
        node: &Arc<Node>,
        deadline: Instant,
        rpc: impl Fn(Attempt) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let timeout = self.retry.attempt.min(deadline.saturating_duration_since(Instant::now()));
        let attempt =
            Attempt { channel: node.channel(), node: Arc::clone(node), timeout, local_read: self.nodes.is_pinned() };
        match tokio::time::timeout(timeout, rpc(attempt)).await {
            Ok(Ok(response)) => {
                self.note_leader(node, response.metadata());
                Ok(response.into_inner())
            }
            Ok(Err(status)) => Err(Error::from_status(&status, &node.address)),
            Err(_) => Err(Error::timed_out(&node.address)),
        }
    }

    /// Answers that a follower passed on name the leader: the next call goes there.
    fn note_leader(&self, node: &Arc<Node>, metadata: &MetadataMap) {
        if let Some(leader) = metadata.get(header::LEADER).and_then(|leader| leader.to_str().ok()) {
            self.nodes.follow(leader, node);
        }
    }

    /// Chooses the node to ask after this one failed: the leader that it named, or else the next.
    pub(crate) fn leave(&self, node: &Arc<Node>, error: &Error) {
        if error.reason() == reason::UNREACHABLE {
            node.avoid();
        }
        let leader = error.detail.leader.as_str();
        if leader.is_empty() || !self.nodes.follow(leader, node) {
            self.nodes.rotate(node);
        }
    }
}
