//! The leader's side of the long-lived append stream.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend,
    errors::RPCError,
    network::RPCTypes,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Streaming;

use super::{
    ANSWER_TIMEOUT,
    client::{AppendStream, PeerClient, failed, malformed},
};
use crate::{
    raft_types::Types,
    wire::{self, proto::AppendResponse},
};

/// How often the oldest unanswered request is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The library opens the next stream at once, whatever became of this one. A peer that is down may be so for long.
const AGAIN: Duration = Duration::from_millis(20);

/// When each unanswered request was sent. A stream without one may be silent for ever.
#[derive(Clone, Debug, Default)]
struct Unanswered(Arc<Mutex<VecDeque<Instant>>>);

impl Unanswered {
    fn sent(&self) {
        self.0.lock().push_back(Instant::now());
    }

    fn answered(&self) {
        self.0.lock().pop_front();
    }

    fn is_overdue(&self) -> bool {
        self.0.lock().front().is_some_and(|sent| sent.elapsed() > ANSWER_TIMEOUT)
    }
}

/// Sends requests as the library makes them, and gives their answers in the same order. Requests do not wait for answers:
/// how many are under way is up to the library and the HTTP/2 window.
pub(super) async fn open<'s, S>(client: &'s PeerClient, input: S) -> Result<AppendStream<'s>, RPCError<Types>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
{
    let mut rpc = client.connect()?;
    let unanswered = Unanswered::default();
    let mut peer = Some(client.peers.introduce(client.target));
    let sent = unanswered.clone();
    let requests = input.map(move |request| {
        sent.sent();
        wire::append_to_wire(request, peer.take())
    });
    let opened = tokio::time::timeout(ANSWER_TIMEOUT, rpc.append(requests)).await;
    let answers = match opened {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => {
            tokio::time::sleep(AGAIN).await;
            return Err(failed(&status));
        }
        Err(_) => return Err(client.timed_out(RPCTypes::AppendEntries, ANSWER_TIMEOUT)),
    };
    let answers = Answers { client, answers, unanswered, first: true };
    Ok(Box::pin(stream::unfold(Some(answers), async |answers| {
        let mut answers = answers?;
        let next = answers.next().await?;
        // After an error, of whichever kind, the library opens a new stream.
        let rest = matches!(next, Ok(Ok(_))).then_some(answers);
        Some((next, rest))
    })))
}

struct Answers<'s> {
    client: &'s PeerClient,
    answers: Streaming<AppendResponse>,
    unanswered: Unanswered,
    first: bool,
}

impl Answers<'_> {
    async fn next(&mut self) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
        loop {
            match tokio::time::timeout(LOOK_EVERY, self.answers.message()).await {
                Ok(Ok(Some(answer))) => return Some(self.read(answer)),
                Ok(Ok(None)) => return None,
                Ok(Err(status)) => return Some(Err(failed(&status))),
                Err(_) if self.unanswered.is_overdue() => {
                    return Some(Err(self.client.timed_out(RPCTypes::AppendEntries, ANSWER_TIMEOUT)));
                }
                Err(_) => {}
            }
        }
    }

    fn read(&mut self, answer: AppendResponse) -> Result<StreamAppendResult<Types>, RPCError<Types>> {
        self.unanswered.answered();
        if std::mem::take(&mut self.first) {
            self.client.check(answer.peer.as_ref())?;
        }
        self.client.peers.disks().note(self.client.target, answer.disk);
        wire::appended_from_wire(answer).map_err(malformed)
    }
}
