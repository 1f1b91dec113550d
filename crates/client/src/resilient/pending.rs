//! The calls that have no answer yet.

use std::collections::{BTreeMap, BTreeSet};

use gantry_proto::{
    WireError,
    v1::{
        ErrorDetail, Failure, PlaceStreamRequest, PlaceStreamResponse, place_stream_request::Call,
        place_stream_response,
    },
};
use tokio::time::Instant;

use crate::{
    Error, Retry,
    call::{Next, Repeat, next},
};

/// Calls in the order in which they came. Each has a tag of our own on the wire, so that a caller may use a tag twice.
#[derive(Debug)]
pub(super) struct Pending {
    retry: Retry,
    calls: BTreeMap<u64, Waiting>,
    /// Calls that go out again on the same stream, by their time.
    delayed: BTreeSet<(Instant, u64)>,
    next_tag: u64,
}

#[derive(Debug)]
struct Waiting {
    tag: u64,
    call: Call,
    since: Instant,
    attempts: u32,
    /// It may have happened.
    unsure: bool,
}

/// What an answer from a node comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// For the caller.
    Answer(PlaceStreamResponse),
    /// The call goes out again later, on the same stream.
    Later,
    /// This node does not help: the call goes out again at another one.
    Elsewhere(Error),
    /// To no call that waits.
    Stray,
}

impl Pending {
    pub(super) fn new(retry: Retry) -> Self {
        Self { retry, calls: BTreeMap::new(), delayed: BTreeSet::new(), next_tag: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Keeps a call; the tag is for [`Self::outgoing`].
    pub(super) fn keep(&mut self, request: PlaceStreamRequest) -> Option<u64> {
        let waiting =
            Waiting { tag: request.tag, call: request.call?, since: Instant::now(), attempts: 0, unsure: false };
        let tag = self.next_tag;
        self.next_tag += 1;
        self.calls.insert(tag, waiting);
        Some(tag)
    }

    /// The message for a call that waits. From now on it may have happened, unless a node says otherwise.
    pub(super) fn outgoing(&mut self, tag: u64) -> Option<PlaceStreamRequest> {
        let waiting = self.calls.get_mut(&tag)?;
        waiting.attempts += 1;
        Some(PlaceStreamRequest { tag, call: Some(waiting.call.clone()) })
    }

    /// All calls, for a new stream.
    pub(super) fn all(&mut self) -> Vec<u64> {
        self.delayed.clear();
        self.calls.keys().copied().collect()
    }

    /// The next call whose pause is over.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        let (at, tag) = *self.delayed.first()?;
        (at <= now).then(|| {
            self.delayed.pop_first();
            tag
        })
    }

    /// The stream broke: whatever went out on it may have happened.
    pub(super) fn doubt(&mut self) {
        for waiting in self.calls.values_mut().filter(|waiting| waiting.attempts > 0) {
            waiting.unsure = true;
        }
    }

    /// Takes a node's answer.
    pub(super) fn take(&mut self, answer: PlaceStreamResponse) -> Taken {
        let Some(waiting) = self.calls.get_mut(&answer.tag) else { return Taken::Stray };
        let Some(place_stream_response::Result::Failure(failure)) = answer.result else {
            return self.answer(answer.tag, answer.result);
        };
        let mut error = WireError::from(failure);
        waiting.unsure |= error.detail.indefinite;
        let next = next(&error.detail, error.code, Repeat::Always);
        let pause = self.retry.pause(waiting.attempts.saturating_sub(1));
        let over =
            waiting.attempts >= self.retry.attempts || Instant::now() + pause >= waiting.since + self.retry.deadline;
        if next == Next::GiveUp || over {
            error.detail.indefinite = waiting.unsure;
            return self.answer(answer.tag, Some(place_stream_response::Result::Failure(error.into_failure())));
        }
        if next == Next::Move {
            return Taken::Elsewhere(error.into());
        }
        self.delayed.insert((Instant::now() + pause, answer.tag));
        Taken::Later
    }

    fn answer(&mut self, tag: u64, result: Option<place_stream_response::Result>) -> Taken {
        match self.calls.remove(&tag) {
            Some(waiting) => Taken::Answer(PlaceStreamResponse { tag: waiting.tag, result }),
            None => Taken::Stray,
        }
    }

    /// The oldest call, as a failure, once its time is up. `error` says why it has no answer.
    pub(super) fn expire(&mut self, error: &Error) -> Option<PlaceStreamResponse> {
        let oldest = self.calls.first_entry()?;
        let over = oldest.get().since + self.retry.deadline <= Instant::now();
        over.then(|| failure(&oldest.remove(), error))
    }

    /// The oldest call, as a failure: nothing will ever answer it.
    pub(super) fn give_up(&mut self, error: &Error) -> Option<PlaceStreamResponse> {
        self.calls.pop_first().map(|(_, waiting)| failure(&waiting, error))
    }
}

fn failure(waiting: &Waiting, error: &Error) -> PlaceStreamResponse {
    let detail = ErrorDetail { indefinite: waiting.unsure, ..(*error.detail).clone() };
    let failure = Failure { code: error.code as u32, message: error.message.clone(), detail: Some(detail) };
    PlaceStreamResponse { tag: waiting.tag, result: Some(place_stream_response::Result::Failure(failure)) }
}
