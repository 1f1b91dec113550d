//! Starts what may start, and says how far it is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gantry_client::v1::{self, FetchProgress, FetchState};
use gantry_oci::{Reference, Resolver};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    ALONE, Throttled, Told,
    bucket::{Bucket, Limits},
    order::Order,
    progress::Progress,
    queue::{Asked, Asker, Cancelled, Queue, Ticket},
    run::{Outcome, Run},
};
use crate::{config::Config, metrics::Metrics};

/// How often it is told how far a fetch is.
const TELL: Duration = Duration::from_millis(500);
/// Requests and answers on their way. Few fetches are under way, so only who does not listen at all lets them fill.
const MESSAGES: usize = 1_024;
const OFF: &str =
    "nothing is fetched ahead on this host: its agent's config has no [containerd], or fetch.enabled is false";
const BUSY: &str = "the agent does not keep up with what it is asked to fetch: ask again later";

/// The way to the fetches. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetches {
    /// None where nothing is fetched.
    asks: Option<mpsc::Sender<Ask>>,
    out: mpsc::Sender<Told>,
}

#[derive(Debug)]
enum Ask {
    Fetch(u64, v1::Fetch),
    Cancel(Asker),
    Wanted(String),
    Connected,
    Disconnected,
}

impl Fetches {
    /// What comes of it is told later.
    pub(crate) fn fetch(&self, connection: u64, fetch: v1::Fetch) {
        let asker = Asker { connection, id: fetch.id };
        let why = match &self.asks {
            Some(asks) if asks.try_send(Ask::Fetch(connection, fetch)).is_ok() => return,
            Some(_) => BUSY,
            None => OFF,
        };
        let state = FetchState::Failed.into();
        tell(&self.out, &[asker], &FetchProgress { state, reason: why.to_owned(), ..FetchProgress::default() });
    }

    pub(crate) fn cancel(&self, connection: u64, id: u64) {
        self.say(Ask::Cancel(Asker { connection, id }));
    }

    /// A machine was granted that waits for this image. Whoever pulls it for the machine waits for what is being fetched, so
    /// that is not held back any more.
    pub(crate) fn wanted(&self, image: &str) {
        self.say(Ask::Wanted(image.to_owned()));
    }

    pub(crate) fn connected(&self) {
        self.say(Ask::Connected);
    }

    /// What was asked for on the connection is told to nobody any more.
    pub(crate) fn disconnected(&self) {
        self.say(Ask::Disconnected);
    }

    fn say(&self, ask: Ask) {
        if let Some(Err(error)) = self.asks.as_ref().map(|asks| asks.try_send(ask)) {
            tracing::warn!(%error, "fetches are not told of the connection");
        }
    }
}

/// The way to the fetches, what is told of them, and what they are run by; nothing runs where the config wants none. An error
/// where the config cannot be used.
pub(crate) fn start(
    config: &Config,
    metrics: &Metrics,
    throttled: &Throttled,
) -> anyhow::Result<(Fetches, mpsc::Receiver<Told>, Option<impl Future<Output = ()> + use<>>)> {
    let (out, told) = mpsc::channel(MESSAGES);
    let Some(containerd) = config.containerd.clone().filter(|_| config.fetch.enabled) else {
        return Ok((Fetches { asks: None, out }, told, None));
    };
    let fetch = &config.fetch;
    let resolver =
        Resolver::new(fetch.registries.clone()).map_err(|error| anyhow::anyhow!("fetch.registries: {error}"))?;
    let (ask, asks) = mpsc::channel(MESSAGES);
    let run = Arc::new(Run {
        namespace: fetch.namespace(&containerd),
        containerd,
        resolver: Arc::new(resolver),
        reserve_bytes: fetch.reserve_bytes,
        metrics: metrics.clone(),
        throttled: throttled.clone(),
        name: format!("{:016x}", fastrand::u64(..)),
    });
    let service = Service {
        queue: Queue::new(fetch.at_once),
        jobs: BTreeMap::new(),
        tasks: JoinSet::new(),
        tickets: HashMap::new(),
        all: Arc::new(Mutex::new(Bucket::new(fetch.bytes_per_s))),
        alone_since: None,
        run,
        out: out.clone(),
    };
    Ok((Fetches { asks: Some(ask), out }, told, Some(service.serve(asks))))
}

struct Service {
    run: Arc<Run>,
    out: mpsc::Sender<Told>,
    queue: Queue,
    jobs: BTreeMap<Ticket, Job>,
    tasks: JoinSet<Outcome>,
    tickets: HashMap<tokio::task::Id, Ticket>,
    /// Of all fetches together.
    all: Arc<Mutex<Bucket>>,
    alone_since: Option<Instant>,
}

/// One fetch that somebody wants, or that runs.
struct Job {
    order: Arc<Order>,
    progress: Arc<Progress>,
    limits: Arc<Limits>,
    keep: Arc<AtomicU64>,
    /// Only of one that runs and was not stopped.
    stop: Option<oneshot::Sender<()>>,
    told: FetchProgress,
}

impl Service {
    async fn serve(mut self, mut asks: mpsc::Receiver<Ask>) {
        let run = Arc::clone(&self.run);
        // It ends with the fetches.
        let sweeping = self.tasks.spawn(async move {
            run.sweep().await;
            Outcome::Swept
        });
        tracing::debug!(task = %sweeping.id(), "what earlier fetches left is looked for");
        let mut tick = interval(TELL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let alone_until = self.alone_since.unwrap_or_else(Instant::now) + ALONE;
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                _ = tick.tick(), if !self.jobs.is_empty() => self.tell_news(),
                () = sleep_until(alone_until), if self.alone_since.is_some() => {
                    self.alone_since = None;
                    for ticket in self.queue.stop_unwanted() {
                        self.stop(ticket);
                    }
                }
            }
            self.start();
            self.run.metrics.fetches(self.queue.waiting(), self.queue.under_way());
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Fetch(connection, fetch) => self.fetch(Asker { connection, id: fetch.id }, &fetch),
            Ask::Cancel(asker) => self.cancel(asker),
            Ask::Wanted(image) => {
                let Ok(wanted) = Reference::parse(&image) else { return };
                self.jobs.values().filter(|job| job.order.reference == wanted).for_each(|job| job.limits.lift());
            }
            Ask::Connected => self.alone_since = None,
            Ask::Disconnected => {
                // Each try that fails to connect says so, too.
                self.alone_since.get_or_insert_with(Instant::now);
                for ticket in self.queue.disconnected() {
                    self.jobs.remove(&ticket);
                }
            }
        }
    }

    fn fetch(&mut self, asker: Asker, fetch: &v1::Fetch) {
        let order = match Order::parse(fetch) {
            Ok(order) => order,
            Err(why) => return self.refuse(asker, &why),
        };
        let keep_ms = u64::try_from(order.keep.as_millis()).unwrap_or(u64::MAX);
        match self.queue.ask(asker, order.key()) {
            Asked::Used => self.refuse(asker, "a fetch with this id is under way on this connection"),
            Asked::Full => {
                let why = format!("{} fetches wait already on this host: ask again later", self.queue.waiting());
                self.refuse(asker, &why);
            }
            Asked::Joined(ticket) => {
                let Some(job) = self.jobs.get(&ticket) else { return };
                job.keep.fetch_max(keep_ms, Ordering::Relaxed);
                job.limits.raise(order.bytes_per_s);
                let told = job.told.clone();
                tell(&self.out, &[asker], &told);
            }
            Asked::New(ticket) => {
                let progress = Arc::new(Progress::of(&order));
                let told = progress.at(FetchState::Waiting, "");
                let limits = Arc::new(Limits::new(order.bytes_per_s, Arc::clone(&self.all)));
                let keep = Arc::new(AtomicU64::new(keep_ms));
                let job = Job { order: Arc::new(order), progress, limits, keep, stop: None, told: told.clone() };
                self.jobs.insert(ticket, job);
                tell(&self.out, &[asker], &told);
            }
        }
    }

    fn refuse(&mut self, asker: Asker, reason: &str) {
        tracing::warn!(reason, "a fetch was refused");
        self.run.metrics.fetch_ended("refused");
        let state = FetchState::Failed.into();
        tell(&self.out, &[asker], &FetchProgress { state, reason: reason.to_owned(), ..FetchProgress::default() });
    }

    fn cancel(&mut self, asker: Asker) {
        let cancelled = self.queue.cancel(asker);
        match cancelled {
            // It has ended, or there never was one.
            Cancelled::Unknown => return,
            Cancelled::Stop(ticket) => self.stop(ticket),
            Cancelled::Dropped(ticket) => {
                self.jobs.remove(&ticket);
                self.run.metrics.fetch_ended("cancelled");
            }
            Cancelled::Left => {}
        }
        let state = FetchState::Cancelled.into();
        tell(&self.out, &[asker], &FetchProgress { state, ..FetchProgress::default() });
    }

    fn stop(&mut self, ticket: Ticket) {
        if let Some(stop) = self.jobs.get_mut(&ticket).and_then(|job| job.stop.take()) {
            // It may just have ended.
            let _ = stop.send(());
        }
    }

    fn start(&mut self) {
        while let Some(ticket) = self.queue.start() {
            let Some(job) = self.jobs.get_mut(&ticket) else { continue };
            let (stop, stopped) = oneshot::channel();
            job.stop = Some(stop);
            let (order, progress) = (Arc::clone(&job.order), Arc::clone(&job.progress));
            let (limits, keep) = (Arc::clone(&job.limits), Arc::clone(&job.keep));
            let run = Arc::clone(&self.run);
            let fetching = async move { run.fetch(ticket, order, progress, limits, keep, stopped).await };
            let task = self.tasks.spawn(fetching);
            self.tickets.insert(task.id(), ticket);
        }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a fetch panicked");
                (error.id(), Outcome::Failed(super::error::FetchError::Bug))
            }
        };
        let Some(ticket) = self.tickets.remove(&task) else { return };
        let askers = self.queue.finished(ticket);
        let Some(job) = self.jobs.remove(&ticket) else { return };
        let (state, name, reason) = match &outcome {
            Outcome::Ready => (FetchState::Ready, "ready", String::new()),
            Outcome::Cancelled | Outcome::Swept => (FetchState::Cancelled, "cancelled", String::new()),
            Outcome::Failed(error) => (FetchState::Failed, "failed", error.to_string()),
        };
        self.run.metrics.fetch_ended(name);
        tell(&self.out, &askers, &job.progress.at(state, &reason));
    }

    /// Tells what is not as it was told last.
    fn tell_news(&mut self) {
        for (ticket, job) in self.jobs.iter_mut().filter(|(_, job)| job.stop.is_some()) {
            let now = job.progress.now();
            if now != job.told {
                tell(&self.out, self.queue.askers(*ticket), &now);
                job.told = now;
            }
        }
    }
}

fn tell(out: &mpsc::Sender<Told>, askers: &[Asker], progress: &FetchProgress) {
    for asker in askers {
        let progress = FetchProgress { id: asker.id, ..progress.clone() };
        if out.try_send(Told { connection: asker.connection, progress }).is_err() {
            tracing::warn!(id = asker.id, "nobody takes how far a fetch is");
        }
    }
}
