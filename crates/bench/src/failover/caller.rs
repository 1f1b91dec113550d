//! The one caller whose answers are timed.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Retry};
use gantry_proto::v1;
use tokio::{sync::watch, task::JoinHandle};

/// Machines that stand at a time.
const STANDING: usize = 100;
const GPU_MILLI: u32 = 250;
const LEASE_MS: u64 = 3_600_000;
/// A placement that takes longer than all of this has failed.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pauses while nobody can answer: a server that is up holds the call until there is a leader, so they are few.
const PAUSE: Duration = Duration::from_millis(20);
/// One server may take this long to answer; then another is asked.
const ATTEMPT: Duration = Duration::from_secs(1);

/// A placement's call and answer.
#[derive(Clone, Copy, Debug)]
struct Answered {
    called: Instant,
    answered: Instant,
}

#[derive(Debug)]
pub(super) struct Caller {
    answers: watch::Receiver<VecDeque<Answered>>,
    over: Arc<AtomicBool>,
    task: JoinHandle<Result<(HashMap<u64, u64>, u64)>>,
}

/// Answers that are remembered: more than any trial looks back.
const REMEMBERED: usize = 65_536;

impl Caller {
    pub(super) fn start(addrs: Vec<String>) -> Result<Self> {
        let retry = Retry { attempts: 10_000, cap: PAUSE, attempt: ATTEMPT, deadline: DEADLINE, ..Retry::default() };
        let client = Client::new(addrs)?.with_retry(retry);
        let (tell, answers) = watch::channel(VecDeque::new());
        let over = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(place_on(client, tell, Arc::clone(&over)));
        Ok(Self { answers, over, task })
    }

    /// Milliseconds from `fault` to the answer of the first placement called after `after`.
    pub(super) async fn gap(&self, fault: Instant, after: Instant) -> Result<f64> {
        let answered = self.first_after(after).await?;
        Ok(ms(answered.answered - fault))
    }

    /// The longest time between two answers from the last before `from` to the first of a placement called after `until`.
    pub(super) async fn longest(&self, from: Instant, until: Instant) -> Result<f64> {
        let last = self.first_after(until).await?.answered;
        let answers = self.answers.borrow();
        let times = answers.iter().map(|one| one.answered).filter(|at| *at <= last);
        let times: Vec<Instant> = times.collect();
        let first = times.partition_point(|at| *at < from).saturating_sub(1);
        let gaps = times[first..].windows(2).map(|two| ms(two[1] - two[0]));
        gaps.max_by(f64::total_cmp).context("there were no answers")
    }

    async fn first_after(&self, after: Instant) -> Result<Answered> {
        let mut answers = self.answers.clone();
        let came = answers.wait_for(|all| all.back().is_some_and(|last| last.called >= after));
        let came = tokio::time::timeout(DEADLINE, came).await.context("no placement was answered in time")?;
        let came = came.context("the caller has ended")?;
        came.iter().find(|one| one.called >= after).copied().context("the answer is there")
    }

    /// Ids and fences of what stands, and how many were placed.
    pub(super) async fn stop(self) -> Result<(HashMap<u64, u64>, u64)> {
        self.over.store(true, Relaxed);
        self.task.await.context("the caller's task failed")?
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

async fn place_on(
    client: Client,
    tell: watch::Sender<VecDeque<Answered>>,
    over: Arc<AtomicBool>,
) -> Result<(HashMap<u64, u64>, u64)> {
    let (mut standing, mut order, mut placed) = (HashMap::new(), VecDeque::new(), 0);
    while !over.load(Relaxed) {
        let called = Instant::now();
        let answer = client.place(request(placed)).await.with_context(|| format!("placement {placed}"))?;
        let one = Answered { called, answered: Instant::now() };
        tell.send_modify(|answers| {
            answers.push_back(one);
            if answers.len() > REMEMBERED {
                answers.pop_front();
            }
        });
        placed += 1;
        let [row] = &answer.reservations[..] else { bail!("one machine was asked for: {answer:?}") };
        standing.insert(row.id, row.fence);
        order.push_back(row.id);
        if order.len() > STANDING
            && let Some(oldest) = order.pop_front()
        {
            let request = v1::ReleaseRequest { request_id: format!("free-{oldest}"), reservation_ids: vec![oldest] };
            client.release(request).await.with_context(|| format!("release of {oldest}"))?;
            standing.remove(&oldest);
        }
    }
    Ok((standing, placed))
}

fn request(number: u64) -> v1::PlaceRequest {
    let gpu = v1::GpuShape { count: 1, milli: GPU_MILLI, ..v1::GpuShape::default() };
    v1::PlaceRequest {
        request_id: format!("probe-{number}"),
        app: "probe".to_owned(),
        shape: Some(v1::Shape { cpu_milli: 100, memory_bytes: 1 << 20, gpu: Some(gpu), ..Default::default() }),
        count: 1,
        lease_ms: LEASE_MS,
        ..Default::default()
    }
}
