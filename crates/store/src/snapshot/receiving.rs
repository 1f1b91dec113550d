//! A snapshot that another node sends, piece by piece.
//!
//! What has come of it stays when the transfer is cut or this node ends, and the next transfer of the same snapshot goes on
//! behind it. Pieces are not synced: what a power cut left of them is found out when the whole is read and its hash does not
//! come out right, and then it is received anew.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{SnapshotFile, Snapshots, entries, name_of};
use crate::{
    LogPos,
    disk::{DiskFile, Opening},
    error::StoreError,
};

const EXTENSION: &str = "part";
const WHAT: &str = "a snapshot that another member sends";
/// What installing one takes of the disk at most, beside the file: the rows, in the database and in its own log.
const INSTALLED: u64 = 2;

/// Which snapshot is offered. The rows at one position are the same on all nodes, and so are the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    pub position: Option<LogPos>,
    pub size_bytes: u64,
}

/// Transfers to this node.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Those under way: two must not write to one file.
    claimed: Mutex<BTreeSet<PathBuf>>,
    received_bytes: AtomicU64,
}

pub(super) fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

impl Snapshots {
    /// How much of a snapshot is here from transfers that were cut.
    pub fn received_of(&self, offered: Offered) -> u64 {
        let part = self.shared.disk.open(&self.part(offered), Opening::Existing);
        let there = part.and_then(|part| part.size_bytes()).unwrap_or(0);
        if there > offered.size_bytes { 0 } else { there }
    }

    /// Bytes that were received since this node started, over all transfers.
    pub fn received_bytes(&self) -> u64 {
        self.shared.parts.received_bytes.load(Ordering::Relaxed)
    }

    /// Begins a transfer, or goes on with it: [`Receiving::written_bytes`] of it are there. What is left of transfers of other
    /// snapshots goes. Fails where another transfer of this one is under way, and where there is no room for all that follows.
    pub fn receive(&self, offered: Offered) -> Result<Receiving, StoreError> {
        let path = self.part(offered);
        let mut claimed = self.shared.parts.claimed.lock();
        if claimed.contains(&path) {
            let why = "another transfer of it is under way: try again when that has ended";
            return Err(StoreError::Busy { what: format!("snapshot {}", path.display()), why });
        }
        let disk = &*self.shared.disk;
        for other in
            entries(disk, &self.shared.dir)?.into_iter().filter(|other| is_part(other) && !claimed.contains(other))
        {
            if other != path || self.received_of(offered) == 0 {
                disk.remove(&other).map_err(StoreError::io("remove", &other))?;
            }
        }
        let left_bytes = offered.size_bytes - self.received_of(offered);
        if let Err(full) =
            self.ensure_room(WHAT, left_bytes.saturating_add(offered.size_bytes.saturating_mul(INSTALLED)))
        {
            let _ = disk.remove(&path);
            return Err(full);
        }
        let file = disk.open(&path, Opening::Kept).map_err(StoreError::io("create", &path))?;
        let written_bytes = file.size_bytes().map_err(StoreError::io("open", &path))?;
        claimed.insert(path.clone());
        Ok(Receiving { claim: Claim { snapshots: self.clone(), path }, file, written_bytes })
    }

    fn part(&self, offered: Offered) -> PathBuf {
        self.path_of(&format!("{}-{}.{EXTENSION}", name_of(offered.position), offered.size_bytes))
    }
}

/// A snapshot that is being received. Dropped unfinished, it leaves what has come.
#[derive(Debug)]
pub struct Receiving {
    claim: Claim,
    file: Box<dyn DiskFile>,
    written_bytes: u64,
}

/// Nobody else writes to the file while this lives.
#[derive(Debug)]
pub(super) struct Claim {
    snapshots: Snapshots,
    path: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.snapshots.shared.parts.claimed.lock().remove(&self.path);
    }
}

impl Receiving {
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all_at(bytes, self.written_bytes);
        written.map_err(StoreError::io("write", &self.claim.path)).inspect_err(|error| {
            // What cannot be finished takes room for nothing.
            if error.is_full() {
                let _ = self.claim.snapshots.shared.disk.remove(&self.claim.path);
            }
        })?;
        let before = self.written_bytes;
        self.written_bytes += bytes.len() as u64;
        self.file.passed(before..self.written_bytes);
        self.claim.snapshots.shared.parts.received_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Syncs what was received and reads it from end to end: what comes out can be installed. Where it is damaged it is
    /// removed, and the next transfer begins anew.
    pub fn finish(self) -> Result<SnapshotFile, StoreError> {
        let Self { claim, file, .. } = self;
        file.sync().map_err(StoreError::io("sync", &claim.path))?;
        let (disk, path) = (claim.snapshots.shared.disk.clone(), claim.path.clone());
        let whole = super::verify(&*disk, &path).and_then(|_| SnapshotFile::open(&disk, &path, Some(claim)));
        whole.inspect_err(|_| drop(disk.remove(&path)))
    }
}
