//! Is what lies on the disk what was written? The hash of the state at one position, to be compared with that of other
//! replicas, and a slow walk over everything that has a checksum.
//!
//! Both read the rows in the database, which are what restarts and snapshots are made of, and which apply writes from the state in
//! memory: replicas whose memory comes to differ write different rows.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gantry_types::Rev;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    LogPos, Snapshots, StateMachine,
    apply::{APPLIED, read_meta},
    error::StoreError,
    family,
    ground::Workers,
    kv::{Column, KvEngine},
    log::record,
    meta,
    state::StateHasher,
};

/// Read before the walk pauses: what it costs others at a time.
const STEP_BYTES: u64 = 1 << 20;
/// Of the log, read before the walk looks for what was purged meanwhile.
const STEP_ENTRIES: u64 = 256;

/// A hash that is being computed: its view of the state is taken.
#[derive(Debug)]
pub struct Hashing {
    result: oneshot::Receiver<Result<(Rev, u128), StoreError>>,
}

impl Hashing {
    /// The position of the state, and its hash.
    pub async fn finish(self) -> Result<(Rev, u128), StoreError> {
        self.result.await.unwrap_or_else(|_| Err(StoreError::Stopped { why: "the hashing thread ended".to_owned() }))
    }
}

impl StateMachine {
    /// Begins to hash the state as it is now, on a thread of its own. To be called between two calls of apply, which then go
    /// on: equal on all replicas at an equal position (S5).
    pub async fn begin_hash(&self) -> Result<Hashing, StoreError> {
        let (taken, is_taken) = oneshot::channel();
        let (done, result) = oneshot::channel();
        let engine = self.engine();
        let work = move || {
            let hashed = hash(&*engine, taken);
            drop(engine);
            let _ = done.send(hashed);
        };
        let begun = self.workers().begin("gantry-hash", work);
        begun.map_err(|error| StoreError::Stopped { why: format!("no thread for hashing: {error}") })?;
        // Fails only where the thread failed before it took the view, which `result` then tells.
        let _ = is_taken.await;
        Ok(Hashing { result })
    }

    /// What walks over this node's data. Cheap.
    pub fn scrubber(&self) -> Scrubber {
        Scrubber { engine: self.engine(), snapshots: self.snapshots().clone() }
    }
}

fn hash(engine: &dyn KvEngine, taken: oneshot::Sender<()>) -> Result<(Rev, u128), StoreError> {
    let view = engine.view();
    let _ = taken.send(());
    let applied = view.get(Column::Meta, APPLIED)?;
    let applied: Option<LogPos> = applied.map(|bytes| meta::decode(APPLIED, &bytes)).transpose()?;
    let mut hasher = StateHasher::default();
    for row in view.rows(Column::State) {
        let (key, value) = row?;
        hasher.encoded(&key, &value);
    }
    Ok((applied.map_or(0, |applied| applied.index), hasher.finish()))
}

/// What a walk has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub bytes: u64,
    pub rows: u64,
    pub entries: u64,
    pub snapshots: u64,
    /// Damaged snapshots that were taken out of use: the state is there, so that another can be written.
    pub damaged_snapshots: Vec<String>,
    /// It was told to stop before the end.
    pub stopped: bool,
}

/// Reads everything that has a checksum, at a bounded rate.
#[derive(Clone)]
pub struct Scrubber {
    engine: Arc<dyn KvEngine>,
    snapshots: Snapshots,
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scrubber({:?})", self.snapshots)
    }
}

impl Scrubber {
    /// Who walks.
    pub fn workers(&self) -> Workers {
        self.snapshots.workers()
    }

    /// One walk over the state, the log and the snapshots. Fails at the first damaged row or log entry: this node must not go
    /// on with it. Blocking, and long.
    pub fn walk(&self, bytes_per_second: u64, stop: &dyn Fn() -> bool) -> Result<Scrubbed, StoreError> {
        let mut walk = Walk { pace: Pace::new(bytes_per_second), found: Scrubbed::default(), stop };
        walk.state(&*self.engine)?;
        walk.log(&*self.engine)?;
        walk.snapshots(&self.snapshots)?;
        let Walk { mut found, pace, .. } = walk;
        found.bytes = pace.bytes;
        Ok(found)
    }
}

struct Walk<'a> {
    pace: Pace,
    found: Scrubbed,
    stop: &'a dyn Fn() -> bool,
}

impl Walk<'_> {
    fn is_stopped(&mut self) -> bool {
        self.found.stopped = self.found.stopped || (self.stop)();
        self.found.stopped
    }

    /// In steps with an iterator each: one that lives for long keeps old files.
    fn state(&mut self, engine: &dyn KvEngine) -> Result<(), StoreError> {
        let mut next: Option<Vec<u8>> = Some(Vec::new());
        while let Some(from) = next.take() {
            if self.is_stopped() {
                return Ok(());
            }
            let mut step = 0;
            for row in engine.rows(Column::State, (&from, None)) {
                let (key, value) = row?;
                if step >= STEP_BYTES {
                    next = Some(key.into_vec());
                    break;
                }
                family::decode(&key, &value)?;
                step += (key.len() + value.len()) as u64;
                self.found.rows += 1;
            }
            self.pace.read(step);
        }
        Ok(())
    }

    fn log(&mut self, engine: &dyn KvEngine) -> Result<(), StoreError> {
        let mut from = 0;
        while !self.is_stopped() {
            // Entries before this are gone, and their tombstones must not be walked over.
            let purged: Option<LogPos> = read_meta(engine, crate::log::recover::PURGED)?;
            from = purged.map_or(from, |purged| from.max(purged.index + 1));
            let rows = engine.rows(Column::Log, (&record::key(from), None));
            let (mut step, mut read) = (0, 0);
            for row in rows.take(STEP_ENTRIES as usize) {
                let (key, value) = row?;
                let index = key.first_chunk::<8>().map_or(0, |key| u64::from_be_bytes(*key));
                step += value.len() as u64;
                record::decode(index, Bytes::from(value.into_vec()))?;
                read += 1;
                from = index + 1;
            }
            self.found.entries += read;
            self.pace.read(step);
            if read < STEP_ENTRIES {
                return Ok(());
            }
        }
        Ok(())
    }

    fn snapshots(&mut self, snapshots: &Snapshots) -> Result<(), StoreError> {
        for path in snapshots.published()? {
            if self.is_stopped() {
                return Ok(());
            }
            match snapshots.verify(&path) {
                Ok(_) => self.found.snapshots += 1,
                // One that was replaced by a newer one meanwhile.
                Err(_) if snapshots.size_bytes(&path).is_none() => continue,
                Err(error) => {
                    snapshots.take_out(&path)?;
                    self.found.damaged_snapshots.push(error.to_string());
                    continue;
                }
            }
            self.pace.read(snapshots.size_bytes(&path).unwrap_or(0));
        }
        Ok(())
    }
}

/// Sleeps so that no more than a number of bytes is read in a second.
struct Pace {
    bytes_per_second: u64,
    bytes: u64,
    since: Instant,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), bytes: 0, since: Instant::now() }
    }

    fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
        let due = Duration::from_millis(self.bytes.saturating_mul(1_000) / self.bytes_per_second);
        if let Some(early) = due.checked_sub(self.since.elapsed()) {
            std::thread::sleep(early);
        }
    }
}
