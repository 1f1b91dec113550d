//! Keeps what an engine has up to date.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    mem::{Discriminant, discriminant},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use gantry_types::{Digest, limits};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    DockerError, Seen,
    answer::Layer,
    digests::{Directory, Known},
    engine::Engine,
};
use crate::config::Docker;

/// Events come in swarms: this long after the first one the engine is asked.
const SETTLES: Duration = Duration::from_millis(200);
/// How often it is asked when nothing seems to happen.
const QUIET: Duration = Duration::from_secs(10);
/// A large engine is not read more than this part of the time.
const PAUSES_PER_READ: u32 = 4;
const READ_LIMIT: Duration = Duration::from_secs(60);
/// Layers of all images, counted in each: far fewer lie there.
const LAYERS: usize = 4 * limits::LAYERS_PER_HOST;
/// Pauses before an engine is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the watcher tells.
#[derive(Debug)]
pub(crate) struct Telling {
    /// None until it was read once.
    pub seen: watch::Sender<Option<Arc<Seen>>>,
    /// Whether it answers.
    pub is_up: watch::Sender<bool>,
}

/// Follows an engine for ever, through its restarts. While it is down, or talks nonsense, what was seen last stands.
pub(crate) async fn watch(config: Docker, telling: Telling) {
    let mut memory = Memory::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let Err(error) = follow(&config, &mut memory, &telling).await;
        if telling.is_up.send_replace(false) {
            pause = FIRST_PAUSE;
        }
        if memory.warned.replace(discriminant(&error)) != Some(discriminant(&error)) {
            let socket = config.socket.display().to_string();
            tracing::warn!(%error, socket, "the Docker engine cannot be followed: what was known of it stands");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What outlives a connection.
#[derive(Default)]
struct Memory {
    images: Images,
    /// What was warned of, and is not over: each kind of failure is said once.
    warned: Option<Discriminant<DockerError>>,
    has_warned_of_directory: bool,
}

/// The layers of images, which never change, by their ids.
type Images = BTreeMap<Digest, Vec<Layer>>;

async fn follow(config: &Docker, memory: &mut Memory, telling: &Telling) -> Result<Infallible, DockerError> {
    let engine = Engine { socket: config.socket.clone() };
    let info = engine.info().await?;
    info.check()?;
    let root = config.root.clone().unwrap_or_else(|| PathBuf::from(&info.docker_root_dir));
    let directory = Directory::new(&root, &info.driver);
    if let Err((path, error)) = directory.check()
        && !std::mem::replace(&mut memory.has_warned_of_directory, true)
    {
        let path = path.display().to_string();
        tracing::warn!(path, %error, "which blobs Docker's layers came from cannot be read: they are told by their content");
    }
    let mut events = engine.events().await?;
    let (mut due, mut earliest) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            happened = events.next() => {
                happened?;
                due = due.min(earliest.max(Instant::now() + SETTLES));
            }
            () = sleep_until(due) => {
                let begun = Instant::now();
                let slow = |_| DockerError::Slow { path: "all images".to_owned(), limit_s: READ_LIMIT.as_secs() };
                let seen = timeout(READ_LIMIT, look(&engine, &directory, &mut memory.images)).await.map_err(slow)??;
                telling.seen.send_if_modified(|told| {
                    let is_new = told.as_deref() != Some(&seen);
                    if is_new {
                        *told = Some(Arc::new(seen));
                    }
                    is_new
                });
                telling.is_up.send_if_modified(|is_up| !std::mem::replace(is_up, true));
                if memory.warned.take().is_some() {
                    tracing::info!("the Docker engine is followed again");
                }
                // An event that came meanwhile is heard after this.
                earliest = Instant::now() + begun.elapsed() * PAUSES_PER_READ;
                due = earliest.max(Instant::now() + QUIET);
            }
        }
    }
}

/// Reads all images; those that were read before only in the list.
async fn look(engine: &Engine, directory: &Directory, known: &mut Images) -> Result<Seen, DockerError> {
    let ids: BTreeSet<Digest> = engine.images().await?.iter().filter_map(super::answer::Listed::id).collect();
    known.retain(|id, _| ids.contains(id));
    for id in ids {
        if known.contains_key(&id) {
            continue;
        }
        if let Some(inspected) = engine.inspect(&id.to_string()).await? {
            known.insert(id, inspected.layers());
        }
        if known.values().map(Vec::len).sum::<usize>() > LAYERS {
            return Err(DockerError::TooMany { what: "layers in its images", limit: LAYERS });
        }
    }
    let layers: BTreeMap<Digest, Layer> =
        known.values().flatten().map(|layer| (layer.diff_id, *layer)).take(limits::LAYERS_PER_HOST).collect();
    let directory = directory.clone();
    let read = spawn_blocking(move || {
        let look = |layer: Layer| (layer, directory.look(&layer));
        layers.into_values().map(look).collect::<Vec<(Layer, Known)>>()
    });
    let read = read.await.map_err(|error| DockerError::Directory(error.to_string()))?;
    Ok(Seen::of(read.into_iter()))
}
