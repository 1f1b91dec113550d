//! One connection's load, over a stream or with a call each, on one task.
//!
//! Both keep a window of placements unanswered. Once as many machines stand as the load may hold, each batch of
//! placements is followed by one release of as many of the oldest.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use tonic::{client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::{
    mix::Supply,
    tally::Tally,
    wire::{Call, Release},
};

/// Reservations in one release.
pub const RELEASE_BATCH: usize = 64;
/// After the last request, for the answers that are missing.
pub const DRAIN: Duration = Duration::from_secs(10);

/// After a refusal, which takes the place of a placement's work: without a pause the load would only collect refusals.
pub const AFTER_REFUSAL: Duration = Duration::from_millis(1);

/// What all connections of a load see.
#[derive(Debug)]
pub struct Control {
    pub stop: Cell<bool>,
    /// Acknowledged since the measured part began, for the picture of the rate.
    pub acknowledged: Cell<u64>,
}

/// One connection.
pub struct Lane {
    pub channel: Channel,
    pub supply: Supply,
    pub window: usize,
    /// Machines that this lane lets stand.
    pub standing: usize,
    pub control: Rc<Control>,
    pub tally: Rc<RefCell<Tally>>,
}

impl Lane {
    /// The next release, where more stand than should.
    pub fn release(&mut self) -> Option<(Bytes, Vec<u64>)> {
        let tally = &mut *self.tally.borrow_mut();
        if tally.standing.len() < self.standing + RELEASE_BATCH {
            return None;
        }
        let ids: Vec<u64> = tally.standing.drain(..RELEASE_BATCH).map(|reserved| reserved.id).collect();
        Some((self.supply.id(), ids))
    }

    pub fn placed(&self, reservations: &[super::wire::Reserved], sent: Instant) {
        self.tally.borrow_mut().placed(reservations, sent.elapsed());
        self.control.acknowledged.set(self.control.acknowledged.get() + reservations.len() as u64);
    }

    pub fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone())
    }
}

pub fn codec<Out, In>() -> ProstCodec<Out, In> {
    ProstCodec::default()
}

impl Call {
    pub fn release(tag: u64, request_id: Bytes, reservation_ids: Vec<u64>) -> Self {
        Self { tag, place: None, release: Some(Release { request_id, reservation_ids }) }
    }
}

/// Waits until the connection takes a call.
pub async fn ready(grpc: &mut Grpc<Channel>) -> Result<()> {
    grpc.ready().await.context("the server does not take calls")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        catalogue::Catalogue,
        connect,
        throughput::{fake, mix, stream, unary},
    };

    const STANDING: usize = 500;

    /// Runs a lane against the fake server for a moment; what it believes to stand must be what stands.
    async fn check<F: Future<Output = Result<()>> + 'static>(run: impl FnOnce(Lane) -> F) {
        let (addr, seen) = fake::serve().await;
        let apps = mix::apps(&Catalogue::built_in().unwrap()).unwrap();
        let control = Rc::new(Control { stop: Cell::new(false), acknowledged: Cell::new(0) });
        let tally = Rc::new(RefCell::new(Tally::new().unwrap()));
        let lane = Lane {
            channel: connect::lazily(&addr).unwrap(),
            supply: Supply::new(&apps, "t", 1),
            window: 64,
            standing: STANDING,
            control: Rc::clone(&control),
            tally: Rc::clone(&tally),
        };
        let load = run(lane);
        let stop = async {
            while control.acknowledged.get() < 3_000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            control.stop.set(true);
        };
        let (ended, ()) =
            tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(load, stop) }).await.unwrap();
        ended.unwrap();
        let tally = tally.borrow();
        assert_eq!((tally.errors, tally.in_doubt.len()), (0, 0), "{:?}", tally.first_error);
        assert!(tally.placed >= 3_000 && tally.latency.len() == tally.placed);
        assert!(tally.overloaded > 0, "the fake refuses some");
        assert!(tally.standing.len() < STANDING + 2 * RELEASE_BATCH + 64, "{} stand", tally.standing.len());
        assert!(tally.standing.iter().all(|reserved| reserved.fence == reserved.id * 2));
        let believed: HashSet<u64> = tally.standing.iter().map(|reserved| reserved.id).collect();
        assert_eq!(believed, seen.standing());
    }

    #[tokio::test]
    async fn a_stream_keeps_its_window_and_its_level() {
        check(stream::run).await;
    }

    #[tokio::test]
    async fn single_calls_keep_their_window_and_their_level() {
        check(unary::run).await;
    }
}
