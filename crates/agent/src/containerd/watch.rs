//! Keeps the view of a store up to date.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use containerd_client::{
    events::SnapshotPrepare,
    services::v1::{SubscribeRequest, events_client::EventsClient},
    tonic::transport::Channel,
    types::Envelope,
};
use gantry_types::Digest;
use prost::Message;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

use super::{ReadError, call, nanos, reader::Reader};
use crate::{
    config::Containerd,
    prepare::{News, Tracker},
    store::{Contents, Nanos},
    view::{View, platform},
};

/// Events come in swarms: this long after the first one the store is read.
const SETTLES: Duration = Duration::from_millis(50);
/// How often the store is read while something is going on there, and how often it is asked whether something is.
const BUSY: Duration = Duration::from_millis(500);
/// For so long after an event something is going on: garbage collection says nothing of what it takes.
const EAGER: Duration = Duration::from_secs(5);
/// How often the store is read when nothing seems to happen.
const QUIET: Duration = Duration::from_secs(10);
/// A large store is not read more than this part of the time.
const PAUSES_PER_READ: u32 = 4;
/// Events that wait while the store is read.
const EVENTS: usize = 1_024;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const READ_LIMIT: Duration = Duration::from_secs(60);
/// Pauses before containerd is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

const TOPICS: [&str; 4] = ["/images/", "/snapshot/", "/content/", "/namespaces/"];
const PREPARE_TOPIC: &str = "/snapshot/prepare";

/// What the watcher tells.
#[derive(Debug)]
pub(crate) struct Telling {
    /// None until the store was read once.
    pub view: watch::Sender<Option<Arc<View>>>,
    pub news: mpsc::Sender<News>,
    /// Whether containerd answers.
    pub is_up: watch::Sender<bool>,
}

/// Follows a containerd for ever, through its restarts. While it is down the last view stands: its content lies there.
pub(crate) async fn watch(config: Containerd, telling: Telling) {
    let mut tracker = Tracker::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let Err(error) = follow(&config, &mut tracker, &telling).await;
        if telling.is_up.send_replace(false) {
            pause = FIRST_PAUSE;
        }
        if pause == FIRST_PAUSE {
            tracing::warn!(%error, "containerd cannot be followed: it is tried again, and what was known of it stands");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow(config: &Containerd, tracker: &mut Tracker, telling: &Telling) -> Result<Infallible, ReadError> {
    let connecting = timeout(CONNECT_LIMIT, containerd_client::connect(&config.socket)).await;
    let slow = |what, limit: Duration| move |_| ReadError::Slow { what, limit_s: limit.as_secs() };
    let socket = || config.socket.display().to_string();
    let channel = connecting
        .map_err(slow("connecting", CONNECT_LIMIT))?
        .map_err(|source| ReadError::Connect { socket: socket(), source })?;
    let (told, mut events) = mpsc::channel(EVENTS);
    let mut subscription = pin!(subscribe(channel.clone(), told));
    let mut reader = Reader::new(channel, config);
    let mut poll = interval(BUSY);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What happens before the subscription stands is seen, for the store is read often at first.
    let (mut due, mut eager_until, mut writes) = (Instant::now(), Instant::now() + EAGER, BTreeSet::new());
    loop {
        tokio::select! {
            ended = &mut subscription => return ended,
            Some(event) = events.recv() => {
                note(&mut reader, &event);
                eager_until = Instant::now() + EAGER;
                due = due.min(Instant::now() + SETTLES);
            }
            () = sleep_until(due) => {
                let begun = Instant::now();
                let reading = timeout(READ_LIMIT, look(&mut reader, tracker, telling)).await;
                writes = reading.map_err(slow("reading the store", READ_LIMIT))??;
                let least = begun.elapsed() * PAUSES_PER_READ;
                let is_busy = !writes.is_empty() || begun < eager_until;
                due = Instant::now() + least.max(if is_busy { BUSY } else { QUIET });
            }
            // A pull begins without an event.
            _ = poll.tick(), if due > Instant::now() + BUSY => {
                let now = timeout(READ_LIMIT, written(&reader)).await.map_err(slow("listing writes", READ_LIMIT))??;
                if now != writes {
                    due = Instant::now();
                }
            }
        }
    }
}

/// Until the events end. containerd answers a subscription with its first event, so nothing waits for the answer.
async fn subscribe(channel: Channel, told: mpsc::Sender<Envelope>) -> Result<Infallible, ReadError> {
    let filters = TOPICS.iter().map(|topic| format!("topic~=\"^{topic}\"")).collect();
    let subscribed = EventsClient::new(channel).subscribe(SubscribeRequest { filters }).await;
    let mut events = subscribed.map_err(call("events cannot be subscribed to"))?.into_inner();
    while let Some(event) = events.message().await.map_err(call("events cannot be followed"))? {
        told.send(event).await.map_err(|_| ReadError::Ended)?;
    }
    Err(ReadError::Ended)
}

/// Keeps what only events say: when a client began to unpack a layer.
fn note(reader: &mut Reader<'_>, event: &Envelope) {
    if event.topic != PREPARE_TOPIC {
        return;
    }
    if let Some(Ok(prepare)) = event.event.as_ref().map(|any| SnapshotPrepare::decode(any.value.as_slice())) {
        reader.unpacking(&event.namespace, &prepare.key, nanos(event.timestamp.as_ref()));
    }
}

/// Reads the store and tells what is new; returns what is being written.
async fn look(
    reader: &mut Reader<'_>,
    tracker: &mut Tracker,
    telling: &Telling,
) -> Result<BTreeSet<(String, Digest)>, ReadError> {
    let at = now();
    let contents = reader.read(at).await?;
    telling.is_up.send_if_modified(|is_up| !std::mem::replace(is_up, true));
    let news = tracker.look(at, &contents);
    let view = View::of(&contents, &platform());
    telling.view.send_if_modified(|known| {
        let is_new = known.as_deref() != Some(&view);
        if is_new {
            *known = Some(Arc::new(view));
        }
        is_new
    });
    if news != News::default() {
        // Whoever listens ends with the agent.
        let _ = telling.news.send(news).await;
    }
    Ok(writes(&contents))
}

fn writes(contents: &Contents) -> BTreeSet<(String, Digest)> {
    let of = |(name, namespace): (&String, &crate::store::Namespace)| {
        namespace.ingests.iter().map(|ingest| (name.clone(), ingest.digest)).collect::<Vec<_>>()
    };
    contents.iter().flat_map(of).collect()
}

async fn written(reader: &Reader<'_>) -> Result<BTreeSet<(String, Digest)>, ReadError> {
    let mut writes = BTreeSet::new();
    for name in reader.namespaces().await? {
        let ingests = reader.ingests(&name, now()).await?;
        writes.extend(ingests.into_iter().map(|ingest| (name.clone(), ingest.digest)));
    }
    Ok(writes)
}

fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}
