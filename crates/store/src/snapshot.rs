//! Snapshots: the whole state at one position, as one file that carries its own position, checksums and hash.
//!
//! A snapshot is read from a RocksDB snapshot, so apply goes on while it is written, and its position is exactly that of
//! its rows. It is published by writing a temporary file, syncing it, renaming it and syncing the directory; the last two
//! are kept. One is installed only after all of it was read and its hash came out right.

mod build;
mod format;
mod install;

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

pub use self::build::Build;
pub(crate) use self::install::{Content, Installer, finish_interrupted, read_at, replace_rows};
use crate::{LogPos, Membership, disk, error::StoreError, offline::inspect::SnapshotContent};

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
    path: PathBuf,
    file: File,
    size_bytes: u64,
    position: Option<LogPos>,
    membership: Arc<Membership>,
    /// Not published yet: the file goes when the last clone does.
    temporary: bool,
}

impl SnapshotFile {
    fn open(path: &Path, temporary: bool) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open snapshot", path))?;
        let size_bytes = file.metadata().map_err(StoreError::io("open snapshot", path))?.len();
        let header = format::Reader::open(path)?.header()?;
        let membership = Arc::new(header.membership.unwrap_or_default());
        let inner = Inner { path: path.to_owned(), file, size_bytes, position: header.position, membership, temporary };
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
        verify(&self.inner.path)
    }

    /// Reads up to `max_bytes` bytes at `offset`; fewer only at the end.
    pub fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StoreError> {
        let left = self.inner.size_bytes.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).map_or(max_bytes, |left| left.min(max_bytes))];
        self.inner.file.read_exact_at(&mut bytes, offset).map_err(StoreError::io("read snapshot", &self.inner.path))?;
        Ok(bytes)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.temporary {
            // It may have been renamed meanwhile, or be gone with its directory.
            let _ = fs::remove_file(&self.path);
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
    dir: PathBuf,
    current: Mutex<Option<SnapshotFile>>,
    /// Held while a snapshot is published: one is built while another may be installed.
    publishing: Mutex<()>,
    /// Numbers temporary files, so that two transfers never share one.
    temporaries: AtomicU64,
}

impl Snapshots {
    /// Opens `data_dir/snapshots`, and removes what a crash left half written.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let dir = data_dir.join(DIR);
        disk::create_dir(&dir)?;
        for path in entries(&dir)?.into_iter().filter(|path| !is_published(path)) {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        let mut current = None;
        for path in published(&dir)? {
            match SnapshotFile::open(&path, false) {
                Ok(snapshot) => {
                    current = Some(snapshot);
                    break;
                }
                Err(error) => tracing::warn!(path = %path.display(), %error, "passing over a snapshot"),
            }
        }
        let shared =
            Shared { dir, current: Mutex::new(current), publishing: Mutex::default(), temporaries: AtomicU64::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The newest snapshot.
    pub fn current(&self) -> Option<SnapshotFile> {
        self.shared.current.lock().clone()
    }

    /// Every published snapshot, newest first.
    pub(crate) fn published(&self) -> Result<Vec<PathBuf>, StoreError> {
        published(&self.shared.dir)
    }

    /// Takes a damaged snapshot out of use; the older one is the current one then. The file is kept, as the only one.
    pub(crate) fn take_out(&self, path: &Path) -> Result<(), StoreError> {
        let _alone = self.shared.publishing.lock();
        let kept = self.shared.dir.with_file_name(format!("{DIR}-{DAMAGED}"));
        fs::rename(path, &kept).map_err(StoreError::io("set aside", path))?;
        disk::sync_dir(&self.shared.dir)?;
        let left = published(&self.shared.dir)?;
        *self.shared.current.lock() = left.iter().find_map(|path| SnapshotFile::open(path, false).ok());
        Ok(())
    }

    /// A place for a snapshot that another node sends.
    pub fn receive(&self) -> Result<Receiving, StoreError> {
        let path = self.temporary();
        let file = File::create(&path).map_err(StoreError::io("create", &path))?;
        Ok(Receiving { path, file: Some(file), written_bytes: 0 })
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
            fs::remove_file(path).map_err(StoreError::io("remove", path))?;
            return Ok(newer);
        }
        self.make_current(path, position)
    }

    fn make_current(&self, path: &Path, position: Option<LogPos>) -> Result<SnapshotFile, StoreError> {
        let published = self.path_of(&name_of(position));
        if path != published {
            fs::rename(path, &published).map_err(StoreError::io("publish snapshot", path))?;
            disk::sync_dir(&self.shared.dir)?;
        }
        let snapshot = SnapshotFile::open(&published, false)?;
        *self.shared.current.lock() = Some(snapshot.clone());
        for old in self::published(&self.shared.dir)?.into_iter().skip(KEPT) {
            fs::remove_file(&old).map_err(StoreError::io("remove old snapshot", &old))?;
        }
        Ok(snapshot)
    }
}

/// A snapshot that is being received. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct Receiving {
    path: PathBuf,
    file: Option<File>,
    written_bytes: u64,
}

impl Receiving {
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let Self { path, file, written_bytes } = self;
        let file = file.as_mut().expect("the file is taken only by `finish`, which consumes self");
        file.write_all(bytes).map_err(StoreError::io("write", path))?;
        *written_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Syncs what was received. Its content is checked when it is installed.
    pub fn finish(mut self) -> Result<SnapshotFile, StoreError> {
        let file = self.file.take().expect("the file is taken only here");
        file.sync_all().map_err(StoreError::io("sync", &self.path))?;
        SnapshotFile::open(&self.path, true).inspect_err(|_| drop(fs::remove_file(&self.path)))
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
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
pub(crate) fn published_in(data_dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let dir = data_dir.join(DIR);
    if dir.is_dir() { published(&dir) } else { Ok(Vec::new()) }
}

/// Reads all of a snapshot and checks it against its own checksums and hash.
pub(crate) fn verify(path: &Path) -> Result<SnapshotContent, StoreError> {
    let mut reader = format::Reader::open(path)?;
    let position = reader.header()?.position;
    let mut rows = 0;
    while let Some(more) = reader.rows()? {
        rows += more.len() as u64;
    }
    Ok(SnapshotContent { position, rows, hash: reader.hash() })
}

/// Published snapshots, newest first.
fn published(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = entries(dir)?;
    paths.retain(|path| is_published(path));
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let paths = fs::read_dir(dir).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    paths.map_err(StoreError::io("list", dir))
}
