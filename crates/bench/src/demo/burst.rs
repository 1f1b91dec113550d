//! A burst: all requests at once over several connections, each with its own request id and one answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use gantry_client::Client;
use gantry_proto::{
    reason,
    v1::{self, place_stream_request::Call, place_stream_response::Result as Said},
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::JoinSet};

use super::workload::Ask;

/// Streams, each on a connection of its own.
pub const CONNECTIONS: usize = 4;
/// Unanswered calls of a stream: everything at once.
pub const ALL_AT_ONCE: usize = 4_096;
const TIMEOUT: Duration = Duration::from_secs(40);

/// What a burst is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Starts every request id.
    pub name: String,
    pub image_blind: bool,
    /// Unanswered calls of each stream.
    pub window: usize,
}

#[derive(Debug)]
pub struct Burst {
    pub name: String,
    /// One for each request, in their order.
    pub answers: Vec<Answer>,
    /// From the first request to the last answer.
    pub took: Duration,
}

#[derive(Debug)]
pub struct Answer {
    pub after: Duration,
    pub said: Outcome,
}

#[derive(Debug)]
pub enum Outcome {
    Placed(Box<v1::Reservation>),
    /// An honest "no capacity".
    Refused(String),
    /// No answer that means anything: the client gave up.
    Unknown(String),
}

impl Burst {
    pub fn placed(&self) -> impl Iterator<Item = (usize, &Answer, &v1::Reservation)> {
        self.answers.iter().enumerate().filter_map(|(at, answer)| match &answer.said {
            Outcome::Placed(reservation) => Some((at, answer, &**reservation)),
            _ => None,
        })
    }

    pub fn refused(&self) -> usize {
        self.answers.iter().filter(|answer| matches!(answer.said, Outcome::Refused(_))).count()
    }

    pub fn unknown(&self) -> usize {
        self.answers.iter().filter(|answer| matches!(answer.said, Outcome::Unknown(_))).count()
    }

    pub fn first_trouble(&self) -> Option<&str> {
        self.answers.iter().find_map(|answer| match &answer.said {
            Outcome::Unknown(why) | Outcome::Refused(why) => Some(why.as_str()),
            Outcome::Placed(_) => None,
        })
    }

    pub fn request_id(&self, at: usize) -> String {
        request_id(&self.name, at)
    }

    /// Acknowledged placements by interval.
    pub fn timeline(&self, bucket: Duration) -> Vec<u64> {
        let mut counts = Vec::new();
        for (_, answer, _) in self.placed() {
            let at = (answer.after.as_micros() / bucket.as_micros().max(1)) as usize;
            if counts.len() <= at {
                counts.resize(at + 1, 0);
            }
            counts[at] += 1;
        }
        counts
    }
}

fn request_id(name: &str, at: usize) -> String {
    format!("{name}-{at:05}")
}

/// Shared by the streams of a burst.
struct Progress {
    answered: AtomicUsize,
    half: usize,
    halfway: Mutex<Option<oneshot::Sender<()>>>,
}

/// Sends it all and waits for every answer. `halfway` is told when half of them are there.
pub async fn run(
    clients: &[Client],
    asks: &[Ask],
    plan: &Plan,
    halfway: Option<oneshot::Sender<()>>,
    show: impl Fn(usize),
) -> Result<Burst> {
    ensure!(!clients.is_empty() && !asks.is_empty(), "a burst needs connections and requests");
    let progress = Arc::new(Progress {
        answered: AtomicUsize::new(0),
        half: asks.len().div_ceil(2),
        halfway: Mutex::new(halfway),
    });
    let mut parts: Vec<Vec<v1::PlaceStreamRequest>> = vec![Vec::new(); clients.len()];
    for (at, ask) in asks.iter().enumerate() {
        let mut request = ask.request.clone();
        request.request_id = request_id(&plan.name, at);
        request.image_blind = plan.image_blind;
        parts[at % clients.len()].push(v1::PlaceStreamRequest { tag: at as u64, call: Some(Call::Place(request)) });
    }
    let started = Instant::now();
    let mut streams = JoinSet::new();
    for (client, part) in clients.iter().zip(parts) {
        streams.spawn(stream(client.clone(), plan.window, part, started, Arc::clone(&progress)));
    }
    let mut all: Vec<(usize, Answer)> = Vec::with_capacity(asks.len());
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !streams.is_empty() {
        tokio::select! {
            Some(part) = streams.join_next() => all.extend(part.context("a stream's task failed")??),
            () = tokio::time::sleep(Duration::from_millis(25)) => show(progress.answered.load(Relaxed)),
            () = tokio::time::sleep_until(deadline) => bail!(
                "{} of {} requests were answered after {} s",
                progress.answered.load(Relaxed), asks.len(), TIMEOUT.as_secs()
            ),
        }
    }
    show(all.len());
    all.sort_by_key(|(at, _)| *at);
    ensure!(all.iter().map(|(at, _)| *at).eq(0..asks.len()), "not every request has exactly one answer");
    let answers: Vec<Answer> = all.into_iter().map(|(_, answer)| answer).collect();
    let took = answers.iter().map(|answer| answer.after).max().unwrap_or_default();
    Ok(Burst { name: plan.name.clone(), answers, took })
}

async fn stream(
    client: Client,
    window: usize,
    part: Vec<v1::PlaceStreamRequest>,
    started: Instant,
    progress: Arc<Progress>,
) -> Result<Vec<(usize, Answer)>> {
    let (sender, mut receiver) = client.resilient_stream(window).split();
    let want = part.len();
    let send = async move {
        for call in part {
            sender.send(call).await?;
        }
        anyhow::Ok(())
    };
    let receive = async {
        let mut answers = Vec::with_capacity(want);
        while let Some(answer) = receiver.recv().await {
            let after = started.elapsed();
            if progress.answered.fetch_add(1, Relaxed) + 1 == progress.half
                && let Some(halfway) = progress.halfway.lock().take()
            {
                // Nobody listens where no node is to be killed.
                let _ = halfway.send(());
            }
            answers.push((answer.tag as usize, Answer { after, said: said(answer.result) }));
        }
        anyhow::Ok(answers)
    };
    Ok(tokio::try_join!(send, receive)?.1)
}

fn said(result: Option<Said>) -> Outcome {
    match result {
        Some(Said::Placed(mut placed)) if placed.reservations.len() == 1 => {
            Outcome::Placed(Box::new(placed.reservations.swap_remove(0)))
        }
        Some(Said::Placed(placed)) => {
            let why = placed.rejections.first().map_or(String::new(), |r| format!("{}: want {}", r.constraint, r.want));
            Outcome::Refused(format!("{} machines placed; {why}", placed.reservations.len()))
        }
        Some(Said::Failure(failure)) => {
            let no_capacity = failure.detail.as_ref().is_some_and(|detail| detail.reason == reason::NO_CAPACITY);
            if no_capacity { Outcome::Refused(failure.message) } else { Outcome::Unknown(failure.message) }
        }
        other => Outcome::Unknown(format!("an answer to no placement: {other:?}")),
    }
}
