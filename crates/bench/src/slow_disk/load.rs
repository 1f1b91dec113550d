//! Callers that place and release all the time. What a placement took counts for the phase in which it began and ended.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Retry};
use gantry_proto::v1;
use tokio::task::JoinSet;

/// One call each is under way.
const CALLERS: usize = 8;
/// Machines of a caller that stand at a time.
const STANDING: usize = 40;
const GPU_MILLI: u32 = 250;
const LEASE_MS: u64 = 3_600_000;
const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
const ATTEMPT: Duration = Duration::from_secs(2);

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing that is measured here.
    Between,
    AllWork,
    FollowerSlow,
    LeaderSlow,
}

const PHASES: [Phase; 4] = [Phase::Between, Phase::AllWork, Phase::FollowerSlow, Phase::LeaderSlow];

#[derive(Debug)]
pub(super) struct Load {
    phase: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    callers: JoinSet<Result<Seen>>,
}

/// What the callers saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) took_ms: Vec<(Phase, f64)>,
    /// Fences of what stands, by reservation.
    pub(super) standing: HashMap<u64, u64>,
    pub(super) placed: u64,
}

impl Load {
    pub(super) fn start(addrs: &[String]) -> Result<Self> {
        let (phase, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut callers = JoinSet::new();
        let retry = Retry { attempts: 10_000, cap: PAUSE, attempt: ATTEMPT, deadline: DEADLINE, ..Retry::default() };
        for caller in 0..CALLERS {
            let client = Client::new(addrs.to_vec())?.with_retry(retry);
            callers.spawn(call(client, caller, Arc::clone(&phase), Arc::clone(&over)));
        }
        Ok(Self { phase, over, callers })
    }

    /// From now on.
    pub(super) fn enter(&self, phase: Phase) {
        let at = PHASES.iter().position(|one| *one == phase);
        self.phase.store(at.unwrap_or_default(), Relaxed);
    }

    pub(super) async fn stop(mut self) -> Result<Seen> {
        self.over.store(true, Relaxed);
        let mut all = Seen::default();
        while let Some(seen) = self.callers.join_next().await {
            let seen = seen.context("a caller's task failed")??;
            all.took_ms.extend(seen.took_ms);
            all.standing.extend(seen.standing);
            all.placed += seen.placed;
        }
        Ok(all)
    }
}

async fn call(client: Client, caller: usize, phase: Arc<AtomicUsize>, over: Arc<AtomicBool>) -> Result<Seen> {
    let (mut seen, mut order) = (Seen::default(), VecDeque::new());
    while !over.load(Relaxed) {
        let (begun, then) = (Instant::now(), phase.load(Relaxed));
        let number = seen.placed;
        let answer = client.place(request(caller, number)).await.with_context(|| format!("placement {number}"))?;
        if phase.load(Relaxed) == then {
            seen.took_ms.push((PHASES[then], begun.elapsed().as_secs_f64() * 1_000.0));
        }
        seen.placed += 1;
        let [row] = &answer.reservations[..] else { bail!("one machine was asked for: {answer:?}") };
        seen.standing.insert(row.id, row.fence);
        order.push_back(row.id);
        if order.len() > STANDING
            && let Some(oldest) = order.pop_front()
        {
            let request = v1::ReleaseRequest { request_id: format!("free-{oldest}"), reservation_ids: vec![oldest] };
            client.release(request).await.with_context(|| format!("release of {oldest}"))?;
            seen.standing.remove(&oldest);
        }
    }
    Ok(seen)
}

fn request(caller: usize, number: u64) -> v1::PlaceRequest {
    let gpu = v1::GpuShape { count: 1, milli: GPU_MILLI, ..v1::GpuShape::default() };
    v1::PlaceRequest {
        request_id: format!("slow-{caller}-{number}"),
        app: format!("app-{caller}"),
        shape: Some(v1::Shape { cpu_milli: 100, memory_bytes: 1 << 20, gpu: Some(gpu), ..Default::default() }),
        count: 1,
        lease_ms: LEASE_MS,
        ..Default::default()
    }
}
