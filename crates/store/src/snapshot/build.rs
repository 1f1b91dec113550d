//! Writing a snapshot while apply goes on.

use std::{path::Path, sync::Arc};

use rocksdb::{IteratorMode, ReadOptions};
use tokio::sync::oneshot;

use super::{
    SnapshotFile, Snapshots,
    format::{Header, Writer},
};
use crate::{
    apply::{APPLIED, MEMBERSHIP},
    engine::Engine,
    error::StoreError,
    meta,
};

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
    /// Takes a view of the state as it is now, and begins to write it on a thread of its own. To be called between two
    /// calls of apply: what is applied later is not in it.
    pub(crate) async fn begin(&self, engine: &Arc<Engine>) -> Result<Build, StoreError> {
        let (taken, is_taken) = oneshot::channel();
        let (done, result) = oneshot::channel();
        let (snapshots, engine) = (self.clone(), Arc::clone(engine));
        let work = move || {
            let written = snapshots.write(&engine, taken);
            // Whoever waits may close the database next.
            drop(engine);
            // A receiver that is gone no longer wants the file; the next build replaces it.
            let _ = done.send(written);
        };
        let thread = std::thread::Builder::new().name("gantry-snapshot".to_owned()).spawn(work);
        thread.map_err(StoreError::io("start a thread for", &self.shared.dir))?;
        // Fails only where the thread failed before it took the view, which `result` then tells.
        let _ = is_taken.await;
        Ok(Build { result })
    }

    /// Writes a snapshot of a state that nobody changes meanwhile.
    pub(crate) fn build_now(&self, engine: &Engine) -> Result<SnapshotFile, StoreError> {
        self.write(engine, oneshot::channel().0)
    }

    fn write(&self, engine: &Engine, taken: oneshot::Sender<()>) -> Result<SnapshotFile, StoreError> {
        let view = engine.db().snapshot();
        let _ = taken.send(());
        let path = self.temporary();
        let written = self.write_view(engine, &view, &path);
        if written.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        written
    }

    fn write_view(
        &self,
        engine: &Engine,
        view: &rocksdb::Snapshot<'_>,
        path: &Path,
    ) -> Result<SnapshotFile, StoreError> {
        // Position and membership come out of the view, like the rows: they cannot disagree.
        let read = |key| view.get_cf(engine.meta(), key).map_err(StoreError::engine("read a meta record"));
        let position = read(APPLIED)?.map(|bytes| meta::decode(APPLIED, &bytes)).transpose()?;
        let membership =
            read(MEMBERSHIP)?.map(|bytes| meta::decode(MEMBERSHIP, &bytes)).transpose()?.unwrap_or_default();
        let mut writer = Writer::create(path, Header::new(position, membership))?;
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        for row in view.iterator_cf_opt(engine.state(), options, IteratorMode::Start) {
            let (key, value) = row.map_err(StoreError::engine("read the state"))?;
            writer.row(&key, &value)?;
        }
        writer.finish()?;
        // A published snapshot must not be ahead of the durable log: the log it comes from is synced first.
        engine.sync()?;
        self.publish_built(path, position)
    }
}
