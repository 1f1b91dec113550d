//! Replacing the state by a snapshot.
//!
//! The rows of a large state do not fit into one write, so the installation is made whole by being repeatable: the file is
//! published first, then a meta record says which file is being installed, then rows are replaced, then one write sets the
//! position and takes the record away. A node that crashes in between finds the record and does it again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_fleet::Fleet;

use super::{SnapshotFile, Snapshots, format::Reader, name_of};
use crate::{
    LogPos, Membership, SharedState,
    apply::{APPLIED, MEMBERSHIP, read_meta},
    disk::{Disk, Opening, Sequential},
    error::StoreError,
    family,
    kv::{Batch, Column, KvEngine},
    load, meta,
};

/// Names the file that is being installed.
const INSTALLING: &[u8] = b"installing";
/// Rows are written in batches of about this size.
const BATCH_BYTES: usize = 4 << 20;
/// Above every key of the state: tags are far below.
const STATE_END: &[u8] = &[0xff];

/// Everything that an installation needs. Blocking: to be used off the async threads.
pub(crate) struct Installer {
    pub(crate) engine: Arc<dyn KvEngine>,
    pub(crate) state: SharedState,
    pub(crate) snapshots: Snapshots,
}

/// All that a snapshot says.
pub(crate) struct Content {
    pub(crate) fleet: Fleet,
    pub(crate) position: Option<LogPos>,
    pub(crate) membership: Membership,
}

impl Installer {
    /// Reads and checks all of `snapshot`, then makes it the state and the current snapshot of this node.
    pub(crate) fn install(&self, snapshot: &SnapshotFile) -> Result<(), StoreError> {
        let content = read(&*self.snapshots.shared.disk, &snapshot.inner.path)?;
        let path = self.adopt(snapshot)?;
        self.snapshots.publish(&path, content.position)?;
        replace_rows(&*self.engine, &content)?;
        let mut state = self.state.write();
        state.replace(content.fleet, content.position, Arc::new(content.membership));
        Ok(())
    }

    /// The file's path inside this node's own directory, where it is or is copied to.
    fn adopt(&self, snapshot: &SnapshotFile) -> Result<PathBuf, StoreError> {
        let path = &snapshot.inner.path;
        if path.parent() == Some(&*self.snapshots.shared.dir) {
            return Ok(path.clone());
        }
        let copy = self.snapshots.temporary();
        let disk = &*self.snapshots.shared.disk;
        let copied = || -> std::io::Result<()> {
            let mut from = Sequential { file: disk.open(path, Opening::Existing)?, at: 0 };
            let mut to = Sequential { file: disk.open(&copy, Opening::Emptied)?, at: 0 };
            std::io::copy(&mut from, &mut to)?;
            to.file.sync()
        };
        copied().map_err(StoreError::io("copy snapshot", path))?;
        Ok(copy)
    }
}

/// Repeats an installation that a crash interrupted.
pub(crate) fn finish_interrupted(engine: &dyn KvEngine, snapshots: &Snapshots) -> Result<(), StoreError> {
    let Some(position) = read_meta::<LogPos>(engine, INSTALLING)? else { return Ok(()) };
    let path = snapshots.path_of(&name_of(Some(position)));
    tracing::info!(path = %path.display(), "repeating the installation of a snapshot that was interrupted");
    replace_rows(engine, &read(&*snapshots.shared.disk, &path)?)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Content, StoreError> {
    read_at(disk, path, 0).map(|(content, _)| content)
}

/// Reads and checks the snapshot that begins at `offset` of a file, to the file's end; with the hash of its state.
pub(crate) fn read_at(disk: &dyn Disk, path: &Path, offset: u64) -> Result<(Content, u128), StoreError> {
    let mut reader = Reader::open_at(disk, path, offset)?;
    let header = reader.header()?;
    let fleet = load::fleet(reader.all_rows())?;
    let content = Content { fleet, position: header.position, membership: header.membership.unwrap_or_default() };
    Ok((content, reader.hash()))
}

pub(crate) fn replace_rows(engine: &dyn KvEngine, content: &Content) -> Result<(), StoreError> {
    const DOING: &str = "install a snapshot";
    let mut batch = Batch::default();
    batch.put(Column::Meta, INSTALLING, meta::encode(&content.position.unwrap_or_default()));
    engine.write(DOING, &batch)?;
    engine.sync()?;
    let mut batch = Batch::default();
    batch.delete_range(Column::State, [], STATE_END);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for row in content.fleet.rows() {
        family::encode(&row, &mut key, &mut value);
        batch.put(Column::State, &key, &value);
        if batch.size_bytes() >= BATCH_BYTES {
            engine.write(DOING, &std::mem::take(&mut batch))?;
        }
    }
    if let Some(position) = content.position {
        batch.put(Column::Meta, APPLIED, meta::encode(&position));
    }
    batch.put(Column::Meta, MEMBERSHIP, meta::encode(&content.membership));
    batch.delete(Column::Meta, INSTALLING);
    engine.write(DOING, &batch)?;
    engine.sync()
}
