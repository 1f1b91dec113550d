//! Rows of remembered requests, found by sequence number and by request id.
//!
//! There may be millions, and they grow inside apply: so nothing in here is ever moved as a whole. Rows lie in chunks of
//! fixed size, and the index by id is cut into shards that grow one at a time and without looking at the rows.

use std::{collections::VecDeque, hash::BuildHasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::RequestRow;

/// Rows of one chunk.
const CHUNK: usize = 4_096;
/// Parts of the index by id; a power of two.
const SHARDS: usize = 256;

#[derive(Clone)]
pub(crate) struct RequestMemory {
    /// Sequence number of the oldest row.
    first: u64,
    /// All full but the first, from which rows are taken, and the last.
    chunks: VecDeque<VecDeque<RequestRow>>,
    len: usize,
    /// Looked up only.
    by_id: Vec<HashTable<Found>>,
    hasher: DefaultHashBuilder,
}

/// Where a request id leads.
#[derive(Clone, Copy)]
struct Found {
    hash: u64,
    seq: u64,
}

impl Default for RequestMemory {
    fn default() -> Self {
        let by_id = vec![HashTable::new(); SHARDS];
        Self { first: 0, chunks: VecDeque::new(), len: 0, by_id, hasher: DefaultHashBuilder::default() }
    }
}

impl std::fmt::Debug for RequestMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RequestMemory({} rows)", self.len)
    }
}

impl RequestMemory {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The sequence number that the next row must have.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.len as u64
    }

    pub(crate) fn row(&self, seq: u64) -> Option<&RequestRow> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let in_first = self.chunks.front()?.len();
        match at.checked_sub(in_first) {
            None => self.chunks[0].get(at),
            Some(behind) => self.chunks.get(1 + behind / CHUNK)?.get(behind % CHUNK),
        }
    }

    pub(crate) fn oldest(&self) -> Option<&RequestRow> {
        self.chunks.front()?.front()
    }

    /// By sequence number.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &RequestRow> {
        self.chunks.iter().flatten()
    }

    pub(crate) fn find(&self, request_id: &str) -> Option<&RequestRow> {
        let hash = self.hasher.hash_one(request_id);
        let is_it = |found: &Found| self.row(found.seq).is_some_and(|row| row.request_id == request_id);
        self.row(self.by_id[shard(hash)].find(hash, is_it)?.seq)
    }

    /// Adds the newest row. Rows come in without gaps, at runtime and when they are loaded.
    pub(crate) fn push(&mut self, row: RequestRow) {
        if self.len == 0 {
            self.first = row.seq;
        }
        debug_assert_eq!(row.seq, self.next(), "request rows have no gaps");
        let hash = self.hasher.hash_one(row.request_id.as_str());
        self.by_id[shard(hash)].insert_unique(hash, Found { hash, seq: row.seq }, |found| found.hash);
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push_back(VecDeque::with_capacity(CHUNK));
        }
        self.chunks.back_mut().expect("one was added where there was none").push_back(row);
        self.len += 1;
    }

    /// Takes the oldest row.
    pub(crate) fn pop(&mut self) -> Option<RequestRow> {
        let chunk = self.chunks.front_mut()?;
        let row = chunk.pop_front()?;
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        let hash = self.hasher.hash_one(row.request_id.as_str());
        if let Ok(found) = self.by_id[shard(hash)].find_entry(hash, |found| found.seq == row.seq) {
            found.remove();
        }
        self.first += 1;
        self.len -= 1;
        Some(row)
    }

    pub(crate) fn restore_next(&mut self, next: u64) {
        if self.len == 0 {
            self.first = next;
        }
    }
}

/// By bits that the tables themselves use last.
fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64) -> RequestRow {
        RequestRow { seq, request_id: format!("request {seq}"), ..RequestRow::default() }
    }

    #[test]
    fn rows_are_found_whichever_chunk_they_lie_in() {
        let mut memory = RequestMemory::default();
        memory.restore_next(7);
        let end = 7 + 3 * CHUNK as u64 + 1;
        (7..end).for_each(|seq| memory.push(row(seq)));
        // The front of the first chunk, all of it, and more.
        for first in [8, 6 + CHUNK as u64, 7 + CHUNK as u64, 9 + CHUNK as u64] {
            while memory.oldest().is_some_and(|row| row.seq < first) {
                memory.pop();
            }
            assert_eq!((memory.len() as u64, memory.next()), (end - first, end));
            assert!(memory.rows().map(|row| row.seq).eq(first..end));
            for seq in first..end {
                assert_eq!(memory.row(seq).map(|row| row.seq), Some(seq));
                assert_eq!(memory.find(&format!("request {seq}")).map(|row| row.seq), Some(seq));
            }
            assert!(memory.row(first - 1).is_none() && memory.row(end).is_none());
            assert!(memory.find(&format!("request {}", first - 1)).is_none());
        }
    }

    #[test]
    fn a_memory_that_was_emptied_goes_on_counting() {
        let mut memory = RequestMemory::default();
        (0..5).for_each(|seq| memory.push(row(seq)));
        assert_eq!(std::iter::from_fn(|| memory.pop()).count(), 5);
        assert_eq!((memory.len(), memory.next()), (0, 5));
        memory.push(row(5));
        assert_eq!(memory.find("request 5").map(|row| row.seq), Some(5));
    }

    /// What the bound on remembered requests says of memory rests on it.
    #[test]
    fn a_row_is_small() {
        assert!(size_of::<RequestRow>() <= 96, "{} bytes", size_of::<RequestRow>());
        assert_eq!(size_of::<Found>(), 16);
    }
}
