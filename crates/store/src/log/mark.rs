//! A lower bound for how far the log must reach: `data_dir/mark`.
//!
//! RocksDB drops everything after a damaged WAL record and says nothing. A voter that forgets entries it has acknowledged
//! breaks the cluster's promise, so after each sync of the log its end is noted here, outside RocksDB. The note reaches the
//! page cache at once (it survives a killed process) and the disk about once a second (it survives a power cut, a second
//! old at most; being a lower bound, an old one is still true). A log that ends before its mark is refused at the start.
//!
//! The file has two slots, written in turn, so that a torn write leaves the other. There is always one: a directory gets its
//! mark when it is opened first, before its node can be a member of anything. So a member without one has lost it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message;
use tokio::time::Instant;

use super::manifest::Manifest;
use crate::{
    LogPos, Vote,
    disk::{self, Disk, DiskFile, Opening},
    error::StoreError,
    ground::Ground,
};

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

impl Reached {
    /// False of a directory that has no mark.
    pub(crate) fn is_there(&self) -> bool {
        self.sequence > 0
    }
}

#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    reached: Reached,
    /// When the oldest unsynced write was made.
    unsynced_since: Option<Instant>,
    dir: PathBuf,
    ground: Ground,
    /// As it was when it was last looked at: RocksDB has synced what has not grown since.
    manifest: Option<Manifest>,
}

impl Mark {
    /// What the mark of `dir` says, without making one where there is none.
    pub(crate) fn look(disk: &dyn Disk, dir: &Path) -> Result<Reached, StoreError> {
        let path = dir.join(FILE);
        match disk.open(&path, Opening::Existing) {
            Ok(file) => newest(&*file, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Reached::default()),
            Err(error) => Err(StoreError::io("open", &path)(error)),
        }
    }

    /// Opens the mark; a directory without one gets its first, durable when this returns.
    pub(crate) fn open(ground: &Ground, dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let file = ground.disk.open(&path, Opening::Kept).map_err(StoreError::io("open", &path))?;
        let reached = newest(&*file, &path)?;
        let (dir, ground) = (dir.to_owned(), ground.clone());
        let mut mark = Self { path, file, reached, unsynced_since: None, dir, ground, manifest: None };
        if !reached.is_there() {
            mark.write(None, None)?;
            mark.file.sync().map_err(StoreError::io("sync", &mark.path))?;
            disk::sync_dir(&*mark.ground.disk, &mark.dir)?;
        }
        Ok(mark)
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
        let seen = self.ground.engines.manifest(&self.dir);
        if std::mem::replace(&mut self.manifest, seen) == seen {
            self.note_manifest(seen)?;
        }
        self.sync_file()
    }

    /// As [`Mark::sync`], at the end: nobody comes by to see whether the list of files has settled.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        self.note_manifest(self.ground.engines.manifest(&self.dir))?;
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

fn newest(file: &dyn DiskFile, path: &Path) -> Result<Reached, StoreError> {
    let slots = [read_slot(file, 0), read_slot(file, 1)].map(|slot| slot.map_err(StoreError::io("read", path)));
    let [first, second] = slots;
    Ok(first?.into_iter().chain(second?).max_by_key(|reached| reached.sequence).unwrap_or_default())
}

/// Nothing where the slot was never written, or not to its end.
fn read_slot(file: &dyn DiskFile, slot: u64) -> io::Result<Option<Reached>> {
    let mut bytes = [0_u8; 256];
    let read = file.read_at(&mut bytes, slot * SLOT_BYTES)?;
    let bytes = &bytes[..read];
    let mut rest = bytes;
    let decoded = Reached::decode_length_delimited(&mut rest).ok().filter(Reached::is_there);
    let Some((reached, crc)) = decoded.zip(rest.first_chunk::<4>()) else { return Ok(None) };
    let covered = &bytes[..bytes.len() - rest.len()];
    Ok((crc32fast::hash(covered) == u32::from_le_bytes(*crc)).then_some(reached))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const VOTE: Option<Vote> = Some(Vote { term: 1, node: 1, committed: true });

    fn open(dir: &Path) -> Result<Mark, StoreError> {
        Mark::open(&Ground::default(), dir)
    }

    fn at(index: u64) -> Option<LogPos> {
        Some(LogPos::new(1, 1, index))
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut mark = open(dir.path()).unwrap();
        for index in 1..=5 {
            mark.note(at(index), VOTE).unwrap();
        }
        assert_eq!(open(dir.path()).unwrap().reached().last, at(5));
        // Sequence 6 lies in slot 0; tear it.
        mark.file.write_all_at(&[0xff; 3], 2).unwrap();
        assert_eq!(open(dir.path()).unwrap().reached().last, at(4));
    }

    /// As every version wrote it. Another encoding needs another file, beside which this one is still read.
    #[test]
    fn the_mark_is_written_as_it_always_was() {
        const SLOT: &[u8] = &[
            25, 8, 3, 18, 6, 8, 1, 16, 1, 24, 9, 26, 6, 8, 1, 16, 1, 24, 1, 34, 5, 8, 5, 16, 172, 2, 158, 118, 97, 178,
        ];
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("db")).unwrap();
        fs::write(dir.path().join("db/CURRENT"), "MANIFEST-000005\n").unwrap();
        fs::write(dir.path().join("db/MANIFEST-000005"), [0; 300]).unwrap();
        let mut mark = open(dir.path()).unwrap();
        mark.note(at(9), VOTE).unwrap();
        mark.close().unwrap();
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap()[SLOT_BYTES as usize..], *SLOT);
        fs::write(dir.path().join(FILE), SLOT).unwrap();
        assert_eq!(Mark::look(&*Ground::default().disk, dir.path()).unwrap(), mark.reached());
    }

    #[test]
    fn a_lowered_mark_stays_lowered_whichever_slot_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        for torn in 0..2 {
            let mut mark = open(dir.path()).unwrap();
            mark.note(at(9), VOTE).unwrap();
            mark.lower(at(3)).unwrap();
            mark.file.write_all_at(&[0xff; 3], torn * SLOT_BYTES + 2).unwrap();
            let reached = open(dir.path()).unwrap().reached();
            assert_eq!((reached.last, reached.vote), (at(3), VOTE));
        }
    }
}
