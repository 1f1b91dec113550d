//! A lower bound for how far the log must reach: `data_dir/mark`.
//!
//! RocksDB drops everything after a damaged WAL record and says nothing. A voter that forgets entries it has acknowledged
//! breaks the cluster's promise, so after each sync of the log its end is noted here, outside RocksDB. The note reaches the
//! page cache at once (it survives a killed process) and the disk about once a second (it survives a power cut, a second
//! old at most; being a lower bound, an old one is still true). A log that ends before its mark is refused at the start.
//!
//! The file has two slots, written in turn, so that a torn write leaves the other.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use prost::Message;

use super::manifest::{self, Manifest};
use crate::{LogPos, Vote, error::StoreError};

pub(crate) const FILE: &str = "mark";
/// Distance of the slots: more than what a disk writes at once.
const SLOT_BYTES: u64 = 4096;
/// How long a mark may lie in the page cache only.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What was durable.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Reached {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<LogPos>,
    #[prost(message, optional, tag = "3")]
    pub(crate) vote: Option<Vote>,
    #[prost(message, optional, tag = "4")]
    pub(crate) manifest: Option<Manifest>,
}

#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    file: File,
    reached: Reached,
    /// When the oldest unsynced write was made.
    unsynced_since: Option<Instant>,
    dir: PathBuf,
    /// As it was when it was last looked at: RocksDB has synced what has not grown since.
    manifest: Option<Manifest>,
}

impl Mark {
    /// What the mark of `dir` says, without making one where there is none.
    pub(crate) fn look(dir: &Path) -> Result<Reached, StoreError> {
        let path = dir.join(FILE);
        match File::open(&path) {
            Ok(file) => Ok(newest(&file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Reached::default()),
            Err(error) => Err(StoreError::io("open", &path)(error)),
        }
    }

    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(StoreError::io("open", &path))?;
        let reached = newest(&file);
        Ok(Self { path, file, reached, unsynced_since: None, dir: dir.to_owned(), manifest: None })
    }

    pub(crate) fn reached(&self) -> Reached {
        self.reached
    }

    /// Notes what has just become durable.
    pub(crate) fn note(&mut self, last: Option<LogPos>, vote: Option<Vote>) -> Result<(), StoreError> {
        if (last, vote) == (self.reached.last, self.reached.vote) {
            return Ok(());
        }
        self.write(last, vote)?;
        let since = *self.unsynced_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    /// Takes the mark back before the log is cut: a log must never be shorter than its mark, not even between the two.
    pub(crate) fn lower(&mut self, last: Option<LogPos>) -> Result<(), StoreError> {
        if last >= self.reached.last {
            return Ok(());
        }
        // Both slots: a torn newer slot must not bring the higher mark back.
        self.write(last, self.reached.vote)?;
        self.write(last, self.reached.vote)?;
        self.unsynced_since.get_or_insert_with(Instant::now);
        self.sync_file()
    }

    fn write(&mut self, last: Option<LogPos>, vote: Option<Vote>) -> Result<(), StoreError> {
        self.reached = Reached { sequence: self.reached.sequence + 1, last, vote, ..self.reached };
        let mut slot = self.reached.encode_length_delimited_to_vec();
        slot.extend_from_slice(&crc32fast::hash(&slot).to_le_bytes());
        let at = (self.reached.sequence % 2) * SLOT_BYTES;
        self.file.write_all_at(&slot, at).map_err(StoreError::io("write", &self.path))
    }

    /// Makes the mark durable, about once a second.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        let seen = manifest::current(&self.dir);
        if std::mem::replace(&mut self.manifest, seen) == seen {
            self.note_manifest(seen)?;
        }
        self.sync_file()
    }

    /// As [`Mark::sync`], at the end: nobody comes by to see whether the list of files has settled.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        self.note_manifest(manifest::current(&self.dir))?;
        self.sync_file()
    }

    fn note_manifest(&mut self, seen: Option<Manifest>) -> Result<(), StoreError> {
        if seen.is_none() || seen == self.reached.manifest {
            return Ok(());
        }
        self.reached.manifest = seen;
        self.write(self.reached.last, self.reached.vote)?;
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn sync_file(&mut self) -> Result<(), StoreError> {
        if self.unsynced_since.take().is_some() {
            self.file.sync_data().map_err(StoreError::io("sync", &self.path))?;
        }
        Ok(())
    }
}

fn newest(file: &File) -> Reached {
    let slots = [read_slot(file, 0), read_slot(file, 1)];
    slots.into_iter().flatten().max_by_key(|reached| reached.sequence).unwrap_or_default()
}

fn read_slot(file: &File, slot: u64) -> Option<Reached> {
    let mut bytes = [0_u8; 256];
    let read = file.read_at(&mut bytes, slot * SLOT_BYTES).ok()?;
    let bytes = &bytes[..read];
    let mut rest = bytes;
    let reached = Reached::decode_length_delimited(&mut rest).ok().filter(|reached| reached.sequence > 0)?;
    let crc = rest.first_chunk::<4>()?;
    let covered = &bytes[..bytes.len() - rest.len()];
    (crc32fast::hash(covered) == u32::from_le_bytes(*crc)).then_some(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTE: Option<Vote> = Some(Vote { term: 1, node: 1, committed: true });

    fn at(index: u64) -> Option<LogPos> {
        Some(LogPos::new(1, 1, index))
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut mark = Mark::open(dir.path()).unwrap();
        for index in 1..=5 {
            mark.note(at(index), VOTE).unwrap();
        }
        assert_eq!(Mark::open(dir.path()).unwrap().reached().last, at(5));
        // Sequence 5 lies in slot 1; tear it.
        mark.file.write_all_at(&[0xff; 3], SLOT_BYTES + 2).unwrap();
        assert_eq!(Mark::open(dir.path()).unwrap().reached().last, at(4));
    }

    #[test]
    fn a_lowered_mark_stays_lowered_whichever_slot_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        for torn in 0..2 {
            let mut mark = Mark::open(dir.path()).unwrap();
            mark.note(at(9), VOTE).unwrap();
            mark.lower(at(3)).unwrap();
            mark.file.write_all_at(&[0xff; 3], torn * SLOT_BYTES + 2).unwrap();
            let reached = Mark::open(dir.path()).unwrap().reached();
            assert_eq!((reached.last, reached.vote), (at(3), VOTE));
        }
    }
}
