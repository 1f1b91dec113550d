//! Placements at full rate: many calls on one stream, answered as they are decided.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;
use gantry_proto::{
    WireError,
    v1::{self, place_stream_request::Call as Asked, place_stream_response::Result as Told},
};
use gantry_types::{PlaceRequest, Refused};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Status, Streaming};

use super::placement::{placed, release};
use crate::{
    answer,
    call::{Answer, Answered, CallError, Reply, What},
    node::Node,
};

/// The outgoing half.
#[derive(Debug)]
pub(crate) struct Answers {
    answers: mpsc::UnboundedReceiver<(u64, Answer)>,
    window: Arc<Semaphore>,
}

/// Reads calls until the caller ends the stream; its answers all come before the stream's own end. At most a window of
/// calls is unanswered at a time: then nothing more is read, and the caller feels it.
pub(super) fn serve(node: Node, calls: Streaming<v1::PlaceStreamRequest>) -> Answers {
    let (replies, answers) = mpsc::unbounded_channel();
    let window = Arc::new(Semaphore::new(node.limits().stream_window));
    tokio::spawn(take_calls(node, calls, replies, Arc::clone(&window)));
    Answers { answers, window }
}

async fn take_calls(
    node: Node,
    mut calls: Streaming<v1::PlaceStreamRequest>,
    replies: mpsc::UnboundedSender<(u64, Answer)>,
    window: Arc<Semaphore>,
) {
    // A message that cannot be read ends the stream: nothing says where the next one begins.
    while let Ok(Some(message)) = calls.message().await {
        let Ok(permit) = window.acquire().await else { return };
        permit.forget();
        let reply = Reply::Tagged(message.tag, replies.clone());
        match what(message.call) {
            Ok(what) => node.submit(what, None, reply),
            Err(refused) => reply.send(Err(CallError::Refused(refused))),
        }
    }
}

fn what(call: Option<Asked>) -> Result<What, Refused> {
    match call {
        Some(Asked::Place(request)) => PlaceRequest::try_from(request).map(What::place),
        Some(Asked::Release(message)) => Ok(What::Command(release(message)?.into())),
        None => Err(Refused::invalid("call", "is missing: send place or release")),
    }
}

impl Stream for Answers {
    type Item = Result<v1::PlaceStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.answers.poll_recv(context);
        next.map(|answer| {
            answer.map(|(tag, answer)| {
                self.window.add_permits(1);
                Ok(v1::PlaceStreamResponse { tag, result: Some(told(answer)) })
            })
        })
    }
}

fn told(answer: Answer) -> Told {
    let result = match answer {
        Ok(Answered::Did(effect)) => answer::rev(Ok(Answered::Did(effect)))
            .map_err(WireError::from)
            .map(|rev| Told::Released(v1::ReleaseResponse { rev })),
        answer => placed(answer).map(Told::Placed),
    };
    result.unwrap_or_else(|error| Told::Failure(error.into_failure()))
}
