//! Snapshots: the whole state at one position, as one file that carries its own position, checksums and hash.
//!
//! A snapshot is read from a view of the database, so apply goes on while it is written, and its position is exactly that of
//! its rows. It is published by writing a temporary file, syncing it, renaming it and syncing the directory; the last two
//! are kept. One is installed only after all of it was read and its hash came out right.

mod build;
mod format;
mod install;
mod receiving;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

pub use self::build::{Build, SnapshotSource};
pub(crate) use self::install::{Content, Installer, finish_interrupted, read_at, replace_rows};
use self::receiving::Claim;
pub use self::receiving::{Offered, Receiving};
use crate::{
    LogPos, Membership,
    disk::{self, Disk, DiskFile, Opening},
    error::StoreError,
    ground::{Ground, Workers},
    offline::inspect::SnapshotContent,
};

/// Snapshots kept: the one that logs are purged up to, and the one before in case that is damaged.
const KEPT: usize = 2;
pub(crate) const DIR: &str = "snapshots";
/// What a snapshot that turned out damaged is kept as, one at a time.
const DAMAGED: &str = "damaged";
const PREFIX: &str = "snap-";

/// A snapshot on disk. Cheap to clone; the content stays readable as long as a clone lives.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    size_bytes: u64,
    position: Option<LogPos>,
    membership: Arc<Membership>,
    /// Received and not published yet: the file goes when the last clone does, and until then nobody else writes to it.
    received: Option<Claim>,
}

impl SnapshotFile {
    fn open(disk: &Arc<dyn Disk>, path: &Path, received: Option<Claim>) -> Result<Self, StoreError> {
        let file = disk.open(path, Opening::Existing).map_err(StoreError::io("open snapshot", path))?;
        let size_bytes = file.size_bytes().map_err(StoreError::io("open snapshot", path))?;
        let header = format::Reader::open(&**disk, path)?.header()?;
        let membership = Arc::new(header.membership.unwrap_or_default());
        let (disk, path) = (Arc::clone(disk), path.to_owned());
        let inner = Inner { disk, path, file, size_bytes, position: header.position, membership, received };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The last entry it includes.
    pub fn position(&self) -> Option<LogPos> {
        self.inner.position
    }

    pub fn membership(&self) -> &Arc<Membership> {
        &self.inner.membership
    }

    pub fn size_bytes(&self) -> u64 {
        self.inner.size_bytes
    }

    /// Reads all of it and checks it against its own checksums and hash.
    pub fn verify(&self) -> Result<SnapshotContent, StoreError> {
        verify(&*self.inner.disk, &self.inner.path)
    }

    /// Reads up to `max_bytes` bytes at `offset`; fewer only at the end.
    pub fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StoreError> {
        let left = self.inner.size_bytes.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).map_or(max_bytes, |left| left.min(max_bytes))];
        let read = disk::read_exact_at(&*self.inner.file, &mut bytes, offset);
        read.map_err(StoreError::io("read snapshot", &self.inner.path))?;
        Ok(bytes)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.received.is_some() {
            // It may have been renamed meanwhile, or be gone with its directory.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// The snapshots of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    workers: Workers,
    dir: PathBuf,
    current: Mutex<Option<SnapshotFile>>,
    /// Held while a snapshot is published: one is built while another may be installed.
    publishing: Mutex<()>,
    /// Numbers temporary files, so that no two share one.
    temporaries: AtomicU64,
    parts: receiving::Parts,
    room: Room,
}

/// What snapshots leave of the disk to others.
#[derive(Debug, Default)]
struct Room {
    keep_free_bytes: AtomicU64,
    /// What was written of a snapshot until there was no room for the rest.
    tried_bytes: AtomicU64,
    is_short: AtomicBool,
}

impl Snapshots {
    /// Opens `data_dir/snapshots`, and removes what a crash left half written.
    pub(crate) fn open(ground: &Ground, data_dir: &Path) -> Result<Self, StoreError> {
        let (disk, dir) = (&ground.disk, data_dir.join(DIR));
        disk::create_dir(&**disk, &dir)?;
        let keep = |path: &Path| is_published(path) || receiving::is_part(path);
        for path in entries(&**disk, &dir)?.into_iter().filter(|path| !keep(path)) {
            disk.remove(&path).map_err(StoreError::io("remove", &path))?;
        }
        let mut current = None;
        for path in published(&**disk, &dir)? {
            match SnapshotFile::open(disk, &path, None) {
                Ok(snapshot) => {
                    current = Some(snapshot);
                    break;
                }
                Err(error) => tracing::warn!(path = %path.display(), %error, "passing over a snapshot"),
            }
        }
        let shared = Shared {
            disk: Arc::clone(disk),
            workers: ground.workers,
            dir,
            current: Mutex::new(current),
            publishing: Mutex::default(),
            temporaries: AtomicU64::new(0),
            parts: receiving::Parts::default(),
            room: Room::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Who reads and writes them.
    pub fn workers(&self) -> Workers {
        self.shared.workers
    }

    /// The newest snapshot.
    pub fn current(&self) -> Option<SnapshotFile> {
        self.shared.current.lock().clone()
    }

    /// Every published snapshot, newest first.
    pub(crate) fn published(&self) -> Result<Vec<PathBuf>, StoreError> {
        published(&*self.shared.disk, &self.shared.dir)
    }

    /// As [`verify`].
    pub(crate) fn verify(&self, path: &Path) -> Result<SnapshotContent, StoreError> {
        verify(&*self.shared.disk, path)
    }

    /// Of the file at `path`; nothing where it is gone.
    pub(crate) fn size_bytes(&self, path: &Path) -> Option<u64> {
        self.shared.disk.open(path, Opening::Existing).and_then(|file| file.size_bytes()).ok()
    }

    /// Takes a damaged snapshot out of use; the older one is the current one then. The file is kept, as the only one.
    pub(crate) fn take_out(&self, path: &Path) -> Result<(), StoreError> {
        let _alone = self.shared.publishing.lock();
        let kept = self.shared.dir.with_file_name(format!("{DIR}-{DAMAGED}"));
        let Shared { disk, dir, current, .. } = &*self.shared;
        disk.rename(path, &kept).map_err(StoreError::io("set aside", path))?;
        disk::sync_dir(&**disk, dir)?;
        let left = published(&**disk, dir)?;
        *current.lock() = left.iter().find_map(|path| SnapshotFile::open(disk, path, None).ok());
        Ok(())
    }

    /// So much of the disk is left alone, whatever else has no room then.
    pub fn keep_free(&self, bytes: u64) {
        self.shared.room.keep_free_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Refuses `what` where it would take the room that is kept free.
    fn ensure_room(&self, what: &'static str, bytes: u64) -> Result<(), StoreError> {
        let Shared { disk, dir, room, .. } = &*self.shared;
        let free_bytes = disk.space(dir).map_err(StoreError::io("look at the file system of", dir))?.free_bytes;
        let need_bytes = room.keep_free_bytes.load(Ordering::Relaxed).saturating_add(bytes);
        let is_short = free_bytes < need_bytes;
        let was_short = room.is_short.swap(is_short, Ordering::Relaxed);
        if !is_short {
            return Ok(());
        }
        if !was_short {
            tracing::warn!(free_bytes, need_bytes, "there is no room for {what}: it waits for disk space");
        }
        Err(StoreError::NoRoom { what, free_bytes, need_bytes })
    }

    fn temporary(&self) -> PathBuf {
        let number = self.shared.temporaries.fetch_add(1, Ordering::Relaxed);
        self.shared.dir.join(format!("{number}.tmp"))
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.shared.dir.join(name)
    }

    /// Makes the file at `path`, complete and synced, the current snapshot under its own name.
    fn publish(&self, path: &Path, position: Option<LogPos>) -> Result<SnapshotFile, StoreError> {
        let _alone = self.shared.publishing.lock();
        self.make_current(path, position)
    }

    /// As [`Snapshots::publish`], unless a newer one was installed while this was written: then that stays current.
    fn publish_built(&self, path: &Path, position: Option<LogPos>) -> Result<SnapshotFile, StoreError> {
        let _alone = self.shared.publishing.lock();
        if let Some(newer) = self.current().filter(|current| current.position() > position) {
            self.shared.disk.remove(path).map_err(StoreError::io("remove", path))?;
            return Ok(newer);
        }
        self.make_current(path, position)
    }

    fn make_current(&self, path: &Path, position: Option<LogPos>) -> Result<SnapshotFile, StoreError> {
        let Shared { disk, dir, current, .. } = &*self.shared;
        let published = self.path_of(&name_of(position));
        if path != published {
            disk.rename(path, &published).map_err(StoreError::io("publish snapshot", path))?;
            disk::sync_dir(&**disk, dir)?;
        }
        let snapshot = SnapshotFile::open(disk, &published, None)?;
        *current.lock() = Some(snapshot.clone());
        for old in self::published(&**disk, dir)?.into_iter().skip(KEPT) {
            disk.remove(&old).map_err(StoreError::io("remove old snapshot", &old))?;
        }
        Ok(snapshot)
    }
}

/// Sorts by position: index first, as positions of one node's snapshots never contradict each other.
fn name_of(position: Option<LogPos>) -> String {
    let LogPos { term, node, index } = position.unwrap_or_default();
    format!("{PREFIX}{index:020}-{term:020}-{node}")
}

fn is_published(path: &Path) -> bool {
    path.extension().is_none()
        && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

/// The published snapshots of a data directory, newest first.
pub(crate) fn published_in(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let dir = data_dir.join(DIR);
    if disk.exists(&dir) { published(disk, &dir) } else { Ok(Vec::new()) }
}

/// Reads all of a snapshot and checks it against its own checksums and hash.
pub(crate) fn verify(disk: &dyn Disk, path: &Path) -> Result<SnapshotContent, StoreError> {
    let mut reader = format::Reader::open(disk, path)?;
    let position = reader.header()?.position;
    let mut rows = 0;
    while let Some(more) = reader.rows()? {
        rows += more.len() as u64;
    }
    Ok(SnapshotContent { position, rows, hash: reader.hash() })
}

/// Published snapshots, newest first.
fn published(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = entries(disk, dir)?;
    paths.retain(|path| is_published(path));
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

fn entries(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    disk.list(dir).map_err(StoreError::io("list", dir))
}
