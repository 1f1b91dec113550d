//! Placements at full rate: many calls on one stream, answered as they are decided.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt};
use gantry_proto::{
    WireError,
    v1::{self, place_stream_request::Call as Asked, place_stream_response::Result as Told},
};
use gantry_types::{Image, PlaceRequest, Refused};
use tonic::Status;

use super::{
    placement::{placed, release},
    window::{Owed, Window, window},
};
use crate::{
    answer,
    call::{Answer, Answered, CallError, What},
    node::Node,
    unreadable,
};

/// The outgoing half.
#[derive(Debug)]
pub(crate) struct Answers(Owed);

/// Reads calls until the caller ends the stream; its answers all come before the stream's own end. At most a window of
/// calls is unanswered at a time: then nothing more is read, and the caller feels it.
pub(super) fn serve(
    node: Node,
    calls: impl Stream<Item = Result<v1::PlaceStreamRequest, Status>> + Send + Unpin + 'static,
) -> Answers {
    let (window, owed) = window(node.limits().stream_window);
    tokio::spawn(take_calls(node, calls, window));
    Answers(owed)
}

async fn take_calls(
    node: Node,
    mut calls: impl Stream<Item = Result<v1::PlaceStreamRequest, Status>> + Unpin,
    window: Window,
) {
    while let Some(message) = calls.next().await {
        let message = match message {
            Ok(message) => message,
            // Nothing says where the next message begins.
            Err(status) => return window.fail(unreadable::message(&status)),
        };
        let Some(reply) = window.reply(message.tag).await else { return };
        match what(message.call) {
            Ok((what, manifest)) => node.submit_taught(manifest, what, None, reply),
            Err(refused) => reply.send(Err(CallError::Refused(refused))),
        }
    }
}

/// What is asked for, and what the caller says its image is.
fn what(call: Option<Asked>) -> Result<(What, Option<Image>), Refused> {
    match call {
        Some(Asked::Place(mut request)) => {
            let manifest = request.take_manifest()?;
            Ok((What::place(PlaceRequest::try_from(request)?), manifest))
        }
        Some(Asked::Release(message)) => Ok((What::Command(release(message)?.into()), None)),
        None => Err(Refused::invalid("call", "is missing: send place or release")),
    }
}

impl Stream for Answers {
    type Item = Result<v1::PlaceStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(context).map(|next| {
            next.map(|owed| owed.map(|(tag, answer)| v1::PlaceStreamResponse { tag, result: Some(told(answer)) }))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;
    use crate::{config::Limits, tests::member::Member};

    #[tokio::test]
    async fn a_full_window_does_not_outlive_its_caller() {
        let member = Member::start().await;
        let node = member.node_with(Limits { stream_window: 1, ..Limits::default() });
        let (calls, sent) = mpsc::channel(8);
        for tag in 0..8 {
            calls.send(Ok(v1::PlaceStreamRequest { tag, call: None })).await.unwrap();
        }
        let answers = serve(node, ReceiverStream::new(sent));
        while calls.capacity() < 2 {
            tokio::task::yield_now().await;
        }
        drop(answers);
        let ended = tokio::time::timeout(Duration::from_secs(5), calls.closed()).await;
        assert!(ended.is_ok(), "the task still waits for room to answer a caller that is gone");
    }
}
