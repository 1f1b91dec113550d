//! The newest entries, in memory: replication and apply read them here, without RocksDB and without decoding.

use std::{collections::VecDeque, ops::Range};

use super::{LogEntry, ReadLimit};
use crate::LogPos;

/// Kept at least this long even where written: a follower that lags by less is served from memory.
const TAIL_BYTES: usize = 64 << 20;
/// Decoded entries weigh more than their bytes say, so their number is bounded too.
const TAIL_ENTRIES: usize = 32_768;

/// A gapless run of entries that ends with the last one.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<LogEntry>,
    bytes: usize,
}

impl Tail {
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.pos.index)
    }

    pub(super) fn push(&mut self, entry: LogEntry) {
        let end = self.entries.back().map(|last| last.pos.index + 1);
        debug_assert!(
            end.is_none_or(|end| end == entry.pos.index),
            "entry {} leaves a gap after {end:?}",
            entry.pos.index
        );
        self.bytes += entry.size_bytes();
        self.entries.push_back(entry);
    }

    /// Drops the oldest entries beyond the limits, none that is not yet in RocksDB.
    pub(super) fn shrink(&mut self, written: Option<LogPos>) {
        while (self.bytes > TAIL_BYTES || self.entries.len() > TAIL_ENTRIES)
            && self.entries.front().is_some_and(|first| Some(first.pos) <= written)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.size_bytes();
        }
    }

    /// Drops the entries from `next` on.
    pub(super) fn truncate(&mut self, next: u64) {
        while let Some(entry) = self.entries.pop_back_if(|entry| entry.pos.index >= next) {
            self.bytes -= entry.size_bytes();
        }
    }

    /// Drops the entries up to `upto`.
    pub(super) fn purge(&mut self, upto: u64) {
        while self.first().is_some_and(|first| first <= upto) {
            self.pop_front();
        }
    }

    pub(super) fn covers(&self, index: u64) -> bool {
        self.first().is_some_and(|first| first <= index)
    }

    /// Where the part that is not here ends: everything before the tail lies in RocksDB.
    pub(super) fn split(&self, range: &Range<u64>) -> u64 {
        self.first().unwrap_or(range.end).clamp(range.start, range.end.max(range.start))
    }

    /// Appends the entries of `range` that are here to `out`, as far as `limit` allows.
    pub(super) fn read(&self, range: Range<u64>, mut limit: ReadLimit, out: &mut Vec<LogEntry>) {
        let Some(first) = self.first() else { return };
        let skip = usize::try_from(range.start.saturating_sub(first)).unwrap_or(usize::MAX).min(self.entries.len());
        let wanted = self.entries.range(skip..).take_while(|entry| entry.pos.index < range.end);
        out.extend(wanted.take_while(|entry| limit.take(entry.size_bytes())).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::{super::record::tests::commands, *};

    fn tail(range: Range<u64>) -> Tail {
        let mut tail = Tail::default();
        range.for_each(|index| tail.push(commands(1, index, b"x")));
        tail
    }

    #[test]
    fn reads_what_it_has_and_says_where_that_begins() {
        let tail = tail(10..20);
        let mut out = Vec::new();
        tail.read(12..15, ReadLimit::NONE, &mut out);
        assert_eq!(out.iter().map(|entry| entry.pos.index).collect::<Vec<_>>(), [12, 13, 14]);
        assert_eq!((tail.split(&(5..15)), tail.split(&(12..15)), tail.split(&(1..4))), (10, 12, 4));
    }

    #[test]
    fn keeps_what_is_not_written() {
        let mut tail = tail(0..TAIL_ENTRIES as u64 + 10);
        tail.shrink(Some(LogPos::new(1, 1, 2)));
        assert_eq!(tail.first(), Some(3));
        tail.shrink(Some(LogPos::new(0, 1, u64::MAX)));
        assert_eq!(tail.first(), Some(3), "what an earlier leader wrote at their places is not what is here");
        tail.shrink(Some(LogPos::new(1, 1, u64::MAX)));
        assert_eq!(tail.entries.len(), TAIL_ENTRIES);
    }

    #[test]
    fn cuts_at_both_ends() {
        let mut tail = tail(10..20);
        tail.truncate(15);
        tail.purge(11);
        assert_eq!((tail.first(), tail.entries.len()), (Some(12), 3));
        assert_eq!(tail.bytes, tail.entries.iter().map(LogEntry::size_bytes).sum::<usize>());
    }
}
