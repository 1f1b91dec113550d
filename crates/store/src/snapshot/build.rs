//! Writing a snapshot while apply goes on.

use std::{
    path::Path,
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    SnapshotFile, Snapshots,
    format::{Header, Writer},
};
use crate::{
    apply::{APPLIED, MEMBERSHIP},
    error::StoreError,
    ground::Workers,
    kv::{Column, KvEngine, View},
    meta,
};

/// How fast a snapshot is written. Members often write theirs at the same time, and those who place wait for the same disks and
/// processors.
const BYTES_PER_SECOND: u64 = 24 << 20;
/// So much is written between two looks at the room that is left.
const LOOK_BYTES: u64 = 4 << 20;
const WHAT: &str = "a snapshot";
/// Shorter pauses are left for later ones.
const PAUSE: Duration = Duration::from_millis(5);

/// Keeps to it.
struct Pace {
    begun: Instant,
}

impl Pace {
    fn begin() -> Self {
        Self { begun: Instant::now() }
    }

    fn keep(&self, written_bytes: u64) {
        let due = Duration::from_micros(written_bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND);
        let early = due.saturating_sub(self.begun.elapsed());
        if early >= PAUSE {
            std::thread::sleep(early);
        }
    }
}

/// Where snapshots come from, for one that is to be begun again: it keeps no database open.
#[derive(Clone, Debug)]
pub struct SnapshotSource {
    snapshots: Snapshots,
    engine: Weak<dyn KvEngine>,
}

impl SnapshotSource {
    pub(crate) fn new(snapshots: &Snapshots, engine: &Arc<dyn KvEngine>) -> Self {
        Self { snapshots: snapshots.clone(), engine: Arc::downgrade(engine) }
    }

    /// Begins a snapshot of the state as it is now, in the middle of what is being applied or not.
    pub async fn begin(&self) -> Result<Build, StoreError> {
        let closed = || StoreError::Stopped { why: "the store is closed".to_owned() };
        self.snapshots.begin(&self.engine.upgrade().ok_or_else(closed)?).await
    }
}

/// A snapshot that is being written: its view of the state is taken, the file is not there yet.
#[derive(Debug)]
pub struct Build {
    result: oneshot::Receiver<Result<SnapshotFile, StoreError>>,
}

impl Build {
    /// Waits for the file.
    pub async fn finish(self) -> Result<SnapshotFile, StoreError> {
        self.result.await.unwrap_or_else(|_| Err(StoreError::Stopped { why: "the snapshot thread ended".to_owned() }))
    }
}

impl Snapshots {
    /// Takes a view of the state as it is now, and begins to write it on a thread of its own. What is applied later is not in
    /// it: rows and position are written as one, so a view has them of one moment.
    pub(crate) async fn begin(&self, engine: &Arc<dyn KvEngine>) -> Result<Build, StoreError> {
        let (taken, is_taken) = oneshot::channel();
        let (done, result) = oneshot::channel();
        let (snapshots, engine) = (self.clone(), Arc::clone(engine));
        let work = move || {
            let pace = (snapshots.workers() == Workers::Threads).then(Pace::begin);
            let written = snapshots.write(&*engine, taken, pace);
            // Whoever waits may close the database next.
            drop(engine);
            // A receiver that is gone no longer wants the file; the next build replaces it.
            let _ = done.send(written);
        };
        let begun = self.shared.workers.begin("gantry-snapshot", work);
        begun.map_err(StoreError::io("start a thread for", &self.shared.dir))?;
        // Fails only where the thread failed before it took the view, which `result` then tells.
        let _ = is_taken.await;
        Ok(Build { result })
    }

    /// Writes a snapshot of a state that nobody changes meanwhile.
    pub(crate) fn build_now(&self, engine: &dyn KvEngine) -> Result<SnapshotFile, StoreError> {
        self.write(engine, oneshot::channel().0, None)
    }

    fn write(
        &self,
        engine: &dyn KvEngine,
        taken: oneshot::Sender<()>,
        pace: Option<Pace>,
    ) -> Result<SnapshotFile, StoreError> {
        let view = engine.view();
        let _ = taken.send(());
        // It will be about as large as the last one, and larger than what there was no room for.
        let tried_bytes = &self.shared.room.tried_bytes;
        let last_bytes = self.current().map_or(0, |current| current.size_bytes());
        self.ensure_room(WHAT, last_bytes.max(tried_bytes.load(Ordering::Relaxed)))?;
        let path = self.temporary();
        let written = self.write_view(engine, &*view, &path, pace);
        match &written {
            Ok(_) => tried_bytes.store(0, Ordering::Relaxed),
            Err(error) => {
                if error.is_full() {
                    tried_bytes.fetch_max(self.size_bytes(&path).unwrap_or(0), Ordering::Relaxed);
                }
                let _ = self.shared.disk.remove(&path);
            }
        }
        written
    }

    fn write_view(
        &self,
        engine: &dyn KvEngine,
        view: &dyn View,
        path: &Path,
        pace: Option<Pace>,
    ) -> Result<SnapshotFile, StoreError> {
        // Position and membership come out of the view, like the rows: they cannot disagree.
        let read = |key| view.get(Column::Meta, key);
        let position = read(APPLIED)?.map(|bytes| meta::decode(APPLIED, &bytes)).transpose()?;
        let membership =
            read(MEMBERSHIP)?.map(|bytes| meta::decode(MEMBERSHIP, &bytes)).transpose()?.unwrap_or_default();
        let mut writer = Writer::create(&*self.shared.disk, path, Header::new(position, membership))?;
        let mut look_at = LOOK_BYTES;
        for row in view.rows(Column::State) {
            let (key, value) = row?;
            writer.row(&key, &value)?;
            if writer.written_bytes() >= look_at {
                self.ensure_room(WHAT, 0)?;
                look_at = writer.written_bytes() + LOOK_BYTES;
            }
            if let Some(pace) = &pace {
                pace.keep(writer.written_bytes());
            }
        }
        writer.finish()?;
        // A published snapshot must not be ahead of the durable log: the log it comes from is synced first.
        engine.sync()?;
        self.publish_built(path, position)
    }
}
