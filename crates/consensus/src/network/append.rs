//! The leader's side of the long-lived append stream.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend,
    errors::RPCError,
    network::RPCTypes,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::{
    ANSWER_TIMEOUT,
    client::{AppendStream, PeerClient, failed, malformed},
};
use crate::{
    convert::log_id,
    raft_types::{LogId, Types},
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
    let (unanswered, is_purged) = (Unanswered::default(), Arc::new(AtomicBool::new(false)));
    let mut peer = Some(client.peers.introduce(client.target));
    let (sent, found_purged, log) = (unanswered.clone(), Arc::clone(&is_purged), client.log.clone());
    // After an error the library may go on reading where it was, and what comes next there may have been purged meanwhile: the
    // entries that it finds then do not follow, or are none. It thinks anew once it hears of another error.
    let input = input.take_while(move |request| {
        let goes_on = request.entries.first().is_some_and(|first| first.log_id.index == next(request.prev_log_id));
        let is_lost = !goes_on && log.purged().map(log_id) > request.prev_log_id;
        found_purged.fetch_or(is_lost, Relaxed);
        std::future::ready(!is_lost)
    });
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
    let answers = Answers { client, answers, unanswered, is_purged, first: true };
    Ok(Box::pin(stream::unfold(Some(answers), async |answers| {
        let mut answers = answers?;
        let next = answers.next().await?;
        // After an error, of whichever kind, the library opens a new stream.
        let rest = matches!(next, Ok(Ok(_))).then_some(answers);
        Some((next, rest))
    })))
}

/// The index after a position.
fn next(after: Option<LogId>) -> u64 {
    after.map_or(0, |after| after.index + 1)
}

struct Answers<'s> {
    client: &'s PeerClient,
    answers: Streaming<AppendResponse>,
    unanswered: Unanswered,
    is_purged: Arc<AtomicBool>,
    first: bool,
}

impl Answers<'_> {
    async fn next(&mut self) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
        loop {
            match tokio::time::timeout(LOOK_EVERY, self.answers.message()).await {
                Ok(Ok(Some(answer))) => return Some(self.read(answer)),
                Ok(Ok(None)) if self.is_purged.load(Relaxed) => {
                    return Some(Err(failed(&Status::out_of_range("what the peer lacks is purged"))));
                }
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
