//! The load of one stream.

use std::time::Instant;

use anyhow::{Context, Result};
use futures::StreamExt;
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::{
    load::{AFTER_REFUSAL, DRAIN, Lane, codec, ready},
    wire::{Answer, Call},
};

const PATH: &str = "/gantry.v1.Placement/PlaceStream";
/// Answers that are taken before new calls are sent: sending in batches costs less.
const BATCH: usize = 256;

/// What a tag stands for.
enum Slot {
    Free,
    Place(Instant),
    Release(Vec<u64>),
}

struct Stream {
    lane: Lane,
    calls: mpsc::Sender<Call>,
    /// By tag.
    slots: Vec<Slot>,
    free: Vec<usize>,
    placing: usize,
}

/// Runs until the load is stopped and everything is answered.
pub async fn run(lane: Lane) -> Result<()> {
    // Releases come on top of the window: at most one for each batch that stands, and those are answered quickly.
    let slots = lane.window * 2 + 16;
    let (calls, outbound) = mpsc::channel(slots);
    let mut grpc = lane.grpc();
    ready(&mut grpc).await?;
    let path = PathAndQuery::from_static(PATH);
    let request = Request::new(ReceiverStream::new(outbound));
    let mut stream = Stream {
        lane,
        calls,
        slots: (0..slots).map(|_| Slot::Free).collect(),
        free: (0..slots).rev().collect(),
        placing: 0,
    };
    // Servers may answer the call only once there is something to answer.
    stream.fill()?;
    let answers = grpc.streaming(request, path, codec()).await.context("the stream was refused")?;
    stream.drive(answers.into_inner()).await
}

impl Stream {
    async fn drive(&mut self, answers: Streaming<Answer>) -> Result<()> {
        let mut answers = answers.ready_chunks(BATCH);
        while !self.lane.control.stop.get() {
            let batch = answers.next().await.context("the server ended the stream")?;
            if self.take(batch)? {
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
            self.fill()?;
        }
        let deadline = tokio::time::Instant::now() + DRAIN;
        while self.free.len() < self.slots.len() {
            match tokio::time::timeout_at(deadline, answers.next()).await {
                Ok(Some(batch)) => drop(self.take(batch)?),
                Ok(None) | Err(_) => break,
            }
        }
        self.give_up();
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let now = Instant::now();
        while self.placing < self.lane.window {
            let Some(tag) = self.free.pop() else { break };
            let place = self.lane.supply.place();
            self.send(tag, Slot::Place(now), Call { tag: tag as u64, place: Some(place), release: None })?;
            self.placing += 1;
        }
        while !self.free.is_empty()
            && let Some((request_id, ids)) = self.lane.release()
        {
            let tag = self.free.pop().context("a slot was free")?;
            self.send(tag, Slot::Release(ids.clone()), Call::release(tag as u64, request_id, ids))?;
        }
        Ok(())
    }

    fn send(&mut self, tag: usize, slot: Slot, call: Call) -> Result<()> {
        self.slots[tag] = slot;
        self.calls.try_send(call).context("the stream has ended")
    }

    /// True where something was refused: then the servers need a moment.
    fn take(&mut self, batch: Vec<Result<Answer, tonic::Status>>) -> Result<bool> {
        let mut refused = false;
        for answer in batch {
            let answer = answer.context("the stream broke")?;
            let tag = answer.tag as usize;
            let slot = self.slots.get_mut(tag).context("an answer to no call")?;
            match (std::mem::replace(slot, Slot::Free), answer) {
                (Slot::Place(sent), Answer { placed: Some(placed), .. }) => {
                    self.placing -= 1;
                    self.lane.placed(&placed.reservations, sent);
                }
                (Slot::Place(_), Answer { failure: Some(failure), .. }) => {
                    self.placing -= 1;
                    refused = true;
                    self.lane.tally.borrow_mut().failed(&failure.detail.unwrap_or_default(), &failure.message);
                }
                (Slot::Release(ids), Answer { released: Some(_), .. }) => {
                    self.lane.tally.borrow_mut().released += ids.len() as u64;
                }
                (Slot::Release(ids), Answer { failure: Some(failure), .. }) => {
                    let mut tally = self.lane.tally.borrow_mut();
                    tally.failed(&failure.detail.unwrap_or_default(), &failure.message);
                    tally.in_doubt.extend(ids);
                }
                (_, answer) => {
                    self.lane.tally.borrow_mut().error(|| format!("an answer that fits no call: {answer:?}"));
                    continue;
                }
            }
            self.free.push(tag);
        }
        Ok(refused)
    }

    /// What was not answered in time.
    fn give_up(&mut self) {
        let mut tally = self.lane.tally.borrow_mut();
        for slot in &mut self.slots {
            match std::mem::replace(slot, Slot::Free) {
                Slot::Free => (),
                Slot::Place(_) => tally.error(|| "a placement was not answered".into()),
                Slot::Release(ids) => {
                    tally.in_doubt.extend(ids);
                    tally.error(|| "a release was not answered".into());
                }
            }
        }
    }
}
