//! Reading entries: from the tail where it has them, else from RocksDB.

use std::ops::Range;

use bytes::Bytes;

use super::{LogEntry, Shared, record};
use crate::{
    error::StoreError,
    kv::{Column, KvEngine},
};

/// How much one read may return. The first entry is returned whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    entries: usize,
    bytes: usize,
    any: bool,
}

impl ReadLimit {
    /// Everything that was asked for.
    pub const NONE: Self = Self { entries: usize::MAX, bytes: usize::MAX, any: false };

    pub fn new(entries: usize, bytes: usize) -> Self {
        Self { entries, bytes, any: false }
    }

    /// Accounts for one more entry, or says that it is one too many.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        if self.any && (self.entries == 0 || self.bytes < bytes) {
            return false;
        }
        self.any = true;
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }

    fn is_used_up(&self) -> bool {
        self.any && (self.entries == 0 || self.bytes == 0)
    }
}

pub(super) fn read(shared: &Shared, range: Range<u64>, mut limit: ReadLimit) -> Result<Vec<LogEntry>, StoreError> {
    let mut out = Vec::new();
    let (range, split) = {
        let ends = shared.ends.read();
        let start = range.start.max(ends.purged.map_or(0, |purged| purged.index + 1));
        let range = start..range.end.min(ends.last.map_or(0, |last| last.index + 1)).max(start);
        let split = ends.tail.split(&range);
        if split == range.start {
            ends.tail.read(range, limit, &mut out);
            return Ok(out);
        }
        (range, split)
    };
    // Without the lock: the entries before the tail are in RocksDB, and stay unless they are purged or cut meanwhile,
    // in which case consensus no longer wants them.
    for read in stored(&*shared.engine, range.start..split) {
        let entry = read?.entry;
        if !limit.take(entry.size_bytes()) {
            return Ok(out);
        }
        out.push(entry);
    }
    if !limit.is_used_up() && out.last().is_none_or(|last| last.pos.index + 1 == split) {
        shared.ends.read().tail.read(split..range.end, limit, &mut out);
    }
    Ok(gapless(out))
}

/// The tail may have moved on between the two reads: what no longer joins is left out, and asked for again.
fn gapless(mut entries: Vec<LogEntry>) -> Vec<LogEntry> {
    let joined = entries.windows(2).position(|pair| pair[0].pos.index + 1 != pair[1].pos.index);
    entries.truncate(joined.map_or(entries.len(), |at| at + 1));
    entries
}

/// The records of `range` in RocksDB, each checked, and checked against the one before it.
pub(super) fn stored(
    engine: &dyn KvEngine,
    range: Range<u64>,
) -> impl Iterator<Item = Result<record::Read, StoreError>> + '_ {
    let (from, to) = (record::key(range.start), record::key(range.end));
    let rows = engine.rows(Column::Log, (&from, Some(&to)));
    let mut before: Option<(u64, u32)> = None;
    rows.map(move |row| {
        let (key, value) = row?;
        let index = index_of(&key)?;
        let read = record::decode(index, Bytes::from(Vec::from(value)))?;
        if let Some((last, crc)) = before
            && (last + 1, crc) != (index, read.previous)
        {
            let why = format!("it does not follow entry {last}, which is before it");
            return Err(StoreError::damaged(format!("log entry {index}"), why));
        }
        before = Some((index, read.crc));
        Ok(read)
    })
}

fn index_of(key: &[u8]) -> Result<u64, StoreError> {
    let bytes: [u8; 8] = key
        .try_into()
        .map_err(|_| StoreError::damaged("the log", format!("it has a key of {} bytes, not 8", key.len())))?;
    Ok(u64::from_be_bytes(bytes))
}
