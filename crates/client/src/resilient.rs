//! A stream of placements that survives the loss of the leader.
//!
//! A task keeps every call until it is answered. When the stream breaks, or a node says that it does not lead, the task
//! connects to the next node and sends what is unanswered again, in the old order and with the same request ids: the
//! servers answer a call that had happened with what it was answered then. So the caller sees a pause and nothing else.

mod pending;
mod session;

use gantry_proto::v1::{PlaceStreamRequest, PlaceStreamResponse, place_stream_request::Call};
use tokio::sync::mpsc;
use tonic::Code;

use crate::{Client, Error, request_id::fill, stream::QUEUE};

/// A stream that reconnects by itself. Every call gets exactly one answer: its own, or a failure once the client's
/// [`Retry`](crate::Retry) bounds are reached.
///
/// The window bounds the calls without an answer. To never wait in [`send`](Self::send), keep fewer than that
/// unanswered; otherwise send and receive in two tasks (see [`split`](Self::split)).
#[derive(Debug)]
pub struct ResilientStream {
    sender: ResilientSender,
    receiver: ResilientReceiver,
}

/// The sending half. Once all senders are dropped and everything is answered, the stream ends.
#[derive(Clone, Debug)]
pub struct ResilientSender {
    calls: mpsc::Sender<PlaceStreamRequest>,
}

/// The receiving half.
#[derive(Debug)]
pub struct ResilientReceiver {
    answers: mpsc::Receiver<PlaceStreamResponse>,
}

impl Client {
    /// Starts a stream that keeps up to `window` calls (1 to 4,096) unanswered. Must be called inside a tokio runtime.
    pub fn resilient_stream(&self, window: usize) -> ResilientStream {
        let window = window.clamp(1, QUEUE);
        let (call_sender, calls) = mpsc::channel(window);
        let (answer_sender, answers) = mpsc::channel(window);
        tokio::spawn(session::run(self.clone(), window, calls, answer_sender));
        ResilientStream { sender: ResilientSender { calls: call_sender }, receiver: ResilientReceiver { answers } }
    }
}

impl ResilientStream {
    /// Sends a call; see [`ResilientSender::send`].
    pub async fn send(&self, call: PlaceStreamRequest) -> Result<(), Error> {
        self.sender.send(call).await
    }

    /// The next answer, in any order; `None` once all senders are dropped and everything is answered.
    pub async fn recv(&mut self) -> Option<PlaceStreamResponse> {
        self.receiver.recv().await
    }

    /// The two halves, for two tasks.
    pub fn split(self) -> (ResilientSender, ResilientReceiver) {
        (self.sender, self.receiver)
    }
}

impl ResilientSender {
    /// Sends a call; waits while the window is full. An empty request id gets a fresh one. Fails only for a call that
    /// says nothing, and when the receiving half is gone.
    pub async fn send(&self, mut request: PlaceStreamRequest) -> Result<(), Error> {
        match &mut request.call {
            Some(Call::Place(place)) => fill(&mut place.request_id),
            Some(Call::Release(release)) => fill(&mut release.request_id),
            None => {
                let message = "call is missing: give place or release";
                return Err(Error::local(Code::InvalidArgument, "INVALID_ARGUMENT", message));
            }
        }
        self.calls.send(request).await.map_err(|_| {
            let message = "the stream is closed: its receiving half was dropped";
            Error::local(Code::Cancelled, gantry_proto::reason::STOPPED, message)
        })
    }
}

impl ResilientReceiver {
    /// The next answer, in any order; `None` once all senders are dropped and everything is answered.
    pub async fn recv(&mut self) -> Option<PlaceStreamResponse> {
        self.answers.recv().await
    }
}
