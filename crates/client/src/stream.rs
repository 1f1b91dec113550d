//! One stream of placements and releases, at full rate.

use std::sync::Arc;

use gantry_proto::v1::{PlaceStreamRequest, PlaceStreamResponse};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status, Streaming};

use crate::{
    Client, Error,
    call::{Attempt, Repeat},
    node::Node,
    rpc::placement::placement,
};

/// Calls that wait between a sender and the connection. A sender waits when they are this many.
pub(crate) const QUEUE: usize = 4_096;

/// One bidirectional stream. Answers carry the tag of their call and come in any order. When the stream breaks, calls
/// without an answer may or may not have happened: send them again with the same request ids on a new stream, or let
/// [`ResilientStream`](crate::ResilientStream) do that.
#[derive(Debug)]
pub struct PlaceStream {
    sender: PlaceSender,
    receiver: PlaceReceiver,
}

/// The sending half. The stream ends well once all senders are dropped and the last answer is there.
#[derive(Clone, Debug)]
pub struct PlaceSender {
    calls: mpsc::Sender<PlaceStreamRequest>,
    node: Arc<Node>,
}

/// The receiving half.
#[derive(Debug)]
pub struct PlaceReceiver {
    answers: Streaming<PlaceStreamResponse>,
    node: Arc<Node>,
}

impl Client {
    /// Opens a stream to the leader, or to a node that passes it on to the leader.
    pub async fn place_stream(&self) -> Result<PlaceStream, Error> {
        let stream = self.call(Repeat::Always, open).await?;
        let leader = self.nodes.current();
        if Arc::ptr_eq(&leader, &stream.sender.node) {
            return Ok(stream);
        }
        // A follower has named the leader: straight to it, a call costs half as much. Where the leader cannot be
        // reached from here, the detour does.
        match self.attempt(&leader, Instant::now() + self.retry.attempt, open).await {
            Ok(direct) => Ok(direct),
            Err(error) => {
                self.leave(&leader, &error);
                Ok(stream)
            }
        }
    }
}

async fn open(attempt: Attempt) -> Result<Response<PlaceStream>, Status> {
    let (calls, outbound) = mpsc::channel(QUEUE);
    let request = attempt.streaming(ReceiverStream::new(outbound));
    let response = placement(attempt.channel).place_stream(request).await?;
    let (metadata, answers, extensions) = response.into_parts();
    let receiver = PlaceReceiver { answers, node: Arc::clone(&attempt.node) };
    let sender = PlaceSender { calls, node: attempt.node };
    Ok(Response::from_parts(metadata, PlaceStream { sender, receiver }, extensions))
}

impl PlaceStream {
    /// Sends a call; waits while too many are queued. Request ids must be given.
    pub async fn send(&self, call: PlaceStreamRequest) -> Result<(), Error> {
        self.sender.send(call).await
    }

    /// The next answer; `None` once the server has ended the stream.
    pub async fn recv(&mut self) -> Result<Option<PlaceStreamResponse>, Error> {
        self.receiver.recv().await
    }

    /// The two halves, for two tasks.
    pub fn split(self) -> (PlaceSender, PlaceReceiver) {
        (self.sender, self.receiver)
    }

    /// The address of the node at the other end.
    pub fn endpoint(&self) -> &str {
        &self.sender.node.address
    }
}

impl PlaceSender {
    /// Sends a call; waits while too many are queued. Request ids must be given.
    pub async fn send(&self, call: PlaceStreamRequest) -> Result<(), Error> {
        self.calls.send(call).await.map_err(|_| self.broken())
    }

    /// Whether the stream took the call at once.
    pub(crate) fn try_send(&self, call: PlaceStreamRequest) -> bool {
        self.calls.try_send(call).is_ok()
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The receiving half knows why; this call was not sent.
    fn broken(&self) -> Error {
        let message = format!("the stream to {} has ended: open a new one", self.node.address);
        Error::local(Code::Unavailable, gantry_proto::reason::UNREACHABLE, message)
    }
}

impl PlaceReceiver {
    /// The next answer; `None` once the server has ended the stream.
    pub async fn recv(&mut self) -> Result<Option<PlaceStreamResponse>, Error> {
        self.answers.message().await.map_err(|status| Error::from_status(&status, &self.node.address))
    }
}
