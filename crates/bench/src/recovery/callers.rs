//! Callers that place at a fixed rate, and how long each waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use gantry_client::{Client, Retry};
use gantry_proto::v1;
use tokio::{task::JoinHandle, time::MissedTickBehavior};

const CALLERS: u32 = 8;
const GPU_MILLI: u32 = 250;
const LEASE_MS: u64 = 3_600_000;
/// A placement that takes longer than all of this has failed.
const DEADLINE: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(5);

/// A placement's call and answer.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub called: Instant,
    pub answered: Instant,
}

impl Sample {
    pub fn wait_ms(&self) -> f64 {
        (self.answered - self.called).as_secs_f64() * 1_000.0
    }
}

#[derive(Debug)]
pub(super) struct Callers {
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<Vec<Sample>>>>,
}

impl Callers {
    pub(super) fn start(addrs: Vec<String>, rate: u32) -> Result<Self> {
        let retry = Retry { attempts: 10_000, attempt: ATTEMPT, deadline: DEADLINE, ..Retry::default() };
        let client = Client::new(addrs)?.with_retry(retry);
        let over = Arc::new(AtomicBool::new(false));
        let every = Duration::from_secs(1) * CALLERS / rate;
        let start = |caller| tokio::spawn(call(client.clone(), caller, every, Arc::clone(&over)));
        Ok(Self { over: Arc::clone(&over), tasks: (0..CALLERS).map(start).collect() })
    }

    /// Every placement of all callers, by the time it was called.
    pub(super) async fn stop(self) -> Result<Vec<Sample>> {
        self.over.store(true, Relaxed);
        let mut samples = Vec::new();
        for task in self.tasks {
            samples.extend(task.await.context("a caller's task failed")??);
        }
        samples.sort_by_key(|sample: &Sample| sample.called);
        Ok(samples)
    }
}

/// Places a machine and gives it back, again and again. A wait counts from when its call was due: one that is longer than the
/// pause between two calls does not hide that the next would have waited too.
async fn call(client: Client, caller: u32, every: Duration, over: Arc<AtomicBool>) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !over.load(Relaxed) {
        let called = ticks.tick().await.into_std();
        let request = request(format!("call-{caller}-{}", samples.len()));
        let answer = client.place(request).await.context("a placement beside other work failed")?;
        samples.push(Sample { called, answered: Instant::now() });
        let reservation_ids = answer.reservations.iter().map(|row| row.id).collect();
        let request_id = format!("free-{caller}-{}", samples.len());
        client.release(v1::ReleaseRequest { request_id, reservation_ids }).await.context("a release failed")?;
    }
    Ok(samples)
}

pub(super) fn request(request_id: String) -> v1::PlaceRequest {
    let gpu = v1::GpuShape { count: 1, milli: GPU_MILLI, ..v1::GpuShape::default() };
    v1::PlaceRequest {
        request_id,
        app: "caller".to_owned(),
        shape: Some(v1::Shape { cpu_milli: 500, memory_bytes: 1 << 30, gpu: Some(gpu), ..Default::default() }),
        count: 1,
        lease_ms: LEASE_MS,
        ..Default::default()
    }
}
