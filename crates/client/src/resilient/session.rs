//! The task behind a resilient stream: one connection after another.

use std::time::Duration;

use gantry_proto::{
    reason,
    v1::{ErrorDetail, PlaceStreamRequest, PlaceStreamResponse},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tonic::Code;

use super::pending::{Pending, Taken};
use crate::{
    Client, Error, PlaceSender, PlaceStream, Retry,
    call::{Next, Repeat, next},
};

/// How often calls are looked at whose pause or time may be over.
const TICK: Duration = Duration::from_millis(5);

/// The caller has dropped the receiving half.
struct Closed;

struct Session {
    client: Client,
    window: usize,
    /// `None` once all senders are dropped.
    calls: Option<mpsc::Receiver<PlaceStreamRequest>>,
    answers: mpsc::Sender<PlaceStreamResponse>,
    pending: Pending,
    /// Why the calls that wait have no answer; the answer of those whose time is up.
    trouble: Error,
}

pub(super) async fn run(
    client: Client,
    window: usize,
    calls: mpsc::Receiver<PlaceStreamRequest>,
    answers: mpsc::Sender<PlaceStreamResponse>,
) {
    let pending = Pending::new(client.retry);
    // Opening a stream is tried node by node: what counts is how long the calls have waited.
    let client = client.clone().with_retry(Retry { attempts: 1, ..client.retry });
    let mut session = Session { client, window, calls: Some(calls), answers, pending, trouble: no_answer() };
    // Ends early when nobody listens any more; there is nobody to tell.
    let _ = session.run().await;
}

impl Session {
    async fn run(&mut self) -> Result<(), Closed> {
        let mut failures = 0;
        while self.has_work().await {
            match self.client.place_stream().await {
                Ok(stream) => {
                    let heard = self.serve(stream).await?;
                    failures = if heard { 0 } else { failures + 1 };
                }
                Err(error) if next(&error.detail, error.code, Repeat::Always) == Next::GiveUp => {
                    self.fail_all(&error).await?;
                }
                Err(error) => {
                    failures += 1;
                    self.trouble = error;
                }
            }
            self.expire().await?;
            if failures > 0 {
                tokio::time::sleep(self.client.retry.pause(failures)).await;
            }
        }
        Ok(())
    }

    /// Waits for a call when none is pending; false once there will be none.
    async fn has_work(&mut self) -> bool {
        if !self.pending.is_empty() {
            return true;
        }
        let Some(calls) = &mut self.calls else { return false };
        match calls.recv().await {
            Some(call) => {
                self.pending.keep(call);
                true
            }
            None => {
                self.calls = None;
                false
            }
        }
    }

    /// Runs one stream until it breaks or all is done. True where the node answered anything at all.
    async fn serve(&mut self, stream: PlaceStream) -> Result<bool, Closed> {
        let (sender, mut receiver) = stream.split();
        let mut heard = Instant::now();
        let mut answered = false;
        let resent = self.pending.all().into_iter().all(|tag| self.send(&sender, tag));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while resent && (self.calls.is_some() || !self.pending.is_empty()) {
            let room = self.pending.len() < self.window;
            tokio::select! {
                answer = receiver.recv() => {
                    heard = Instant::now();
                    match self.take(&sender, answer).await? {
                        Some(true) => answered = true,
                        Some(false) => {}
                        None => break,
                    }
                }
                call = next_call(&mut self.calls), if room => match call {
                    Some(call) => {
                        if self.pending.is_empty() {
                            heard = Instant::now();
                        }
                        if let Some(tag) = self.pending.keep(call) && !self.send(&sender, tag) {
                            break;
                        }
                    }
                    None => self.calls = None,
                },
                now = tick.tick(), if !self.pending.is_empty() => {
                    if !self.tend(&sender, now).await? {
                        break;
                    }
                    if heard + self.client.retry.attempt <= now {
                        self.lose(&sender, Error::timed_out(&sender.node().address));
                        break;
                    }
                }
            }
        }
        self.pending.doubt();
        Ok(answered)
    }

    /// Handles what came from the node. `None` ends the stream, true means that a call was answered.
    async fn take(
        &mut self,
        sender: &PlaceSender,
        answer: Result<Option<PlaceStreamResponse>, Error>,
    ) -> Result<Option<bool>, Closed> {
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                self.lose(sender, no_answer());
                return Ok(None);
            }
            Err(error) if next(&error.detail, error.code, Repeat::Always) == Next::GiveUp => {
                self.fail_all(&error).await?;
                return Ok(None);
            }
            Err(error) => {
                self.lose(sender, error);
                return Ok(None);
            }
        };
        match self.pending.take(answer) {
            Taken::Answer(answer) => {
                self.answer(answer).await?;
                Ok(Some(true))
            }
            Taken::Elsewhere(error) => {
                self.lose(sender, error);
                Ok(None)
            }
            Taken::Later | Taken::Stray => Ok(Some(false)),
        }
    }

    /// Sends again what is due and answers what is over. False where the stream is broken.
    async fn tend(&mut self, sender: &PlaceSender, now: Instant) -> Result<bool, Closed> {
        while let Some(tag) = self.pending.due(now) {
            if !self.send(sender, tag) {
                return Ok(false);
            }
        }
        self.expire().await?;
        Ok(true)
    }

    /// The queue of a stream holds a whole window, so a stream that takes nothing is a broken one.
    fn send(&mut self, sender: &PlaceSender, tag: u64) -> bool {
        self.pending.outgoing(tag).is_none_or(|call| sender.try_send(call))
    }

    /// Ends the calls that wait, with an error that sending them again would only bring back: one of them cannot be read,
    /// and nothing says which. What went out may have happened; the stream's end does not say how far it was read.
    async fn fail_all(&mut self, error: &Error) -> Result<(), Closed> {
        self.pending.doubt();
        while let Some(answer) = self.pending.give_up(error) {
            self.answer(answer).await?;
        }
        Ok(())
    }

    /// Notes why the stream ended, and goes to another node.
    fn lose(&mut self, sender: &PlaceSender, error: Error) {
        self.client.leave(sender.node(), &error);
        self.trouble = error;
    }

    async fn expire(&mut self) -> Result<(), Closed> {
        while let Some(answer) = self.pending.expire(&self.trouble) {
            self.answer(answer).await?;
        }
        Ok(())
    }

    async fn answer(&self, answer: PlaceStreamResponse) -> Result<(), Closed> {
        self.answers.send(answer).await.map_err(|_| Closed)
    }
}

/// The next call; never ready once all senders are dropped.
async fn next_call(calls: &mut Option<mpsc::Receiver<PlaceStreamRequest>>) -> Option<PlaceStreamRequest> {
    match calls {
        Some(calls) => calls.recv().await,
        None => std::future::pending().await,
    }
}

fn no_answer() -> Error {
    let detail = ErrorDetail { reason: reason::OUTCOME_UNKNOWN.to_owned(), indefinite: true, ..ErrorDetail::default() };
    Error {
        code: Code::Unavailable,
        message: "no node answered in time: is a majority of the cluster up? Send it again with the same request id"
            .into(),
        detail: detail.into(),
        endpoint: String::new(),
        attempts: 0,
    }
}
