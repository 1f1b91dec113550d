//! The store's log behind the consensus library's traits.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
};

use futures::{Stream, stream};
use gantry_store::{Log, LogEntry, ReadLimit, StoreError};
use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use tokio::sync::oneshot;

use crate::{
    convert::{entry, log_entry, log_id, log_pos, stored_vote, vote},
    raft_types::{Entry, LogId, Types, Vote},
};

/// Entries read at once, for replication and for apply: large enough to keep a connection busy, small enough that a
/// heartbeat never waits long behind one. The first entry always fits.
const READ_BYTES: usize = 2 << 20;
const READ_ENTRIES: usize = 4_096;

/// The log, as storage and as reader. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    log: Log,
}

impl LogStore {
    pub(crate) fn new(log: Log) -> Self {
        Self { log }
    }

    async fn read(&self, range: Range<u64>, limit: ReadLimit) -> io::Result<Vec<Entry>> {
        let entries = if range.is_empty() || self.log.is_in_memory(&range) {
            self.log.read(range, limit)?
        } else {
            // A follower that is far behind, or a restart: RocksDB may have to go to the disk.
            let log = self.log.clone();
            self.log.workers().run(move || log.read(range, limit)).await??
        };
        entries.into_iter().map(entry).collect()
    }
}

fn exact(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        self.read(exact(&range), ReadLimit::NONE).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log.vote().map(vote))
    }

    /// What replication sends: nothing where the first is purged, for entries that follow no other are of no use there.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut entries = self.read(start..end, ReadLimit::new(READ_ENTRIES, READ_BYTES)).await?;
        if entries.first().is_some_and(|first| first.log_id.index != start) {
            entries.clear();
        }
        Ok(entries)
    }

    /// In parts, so that catching up a long log does not take the memory of all of it. What is applied comes from here, so it
    /// begins where it was asked to.
    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let parts = stream::try_unfold(exact(&range), move |rest| {
            let reader = reader.clone();
            async move {
                let part = reader.read(rest.clone(), ReadLimit::new(READ_ENTRIES, READ_BYTES)).await?;
                if let Some(first) = part.first()
                    && first.log_id.index != rest.start
                {
                    let last = rest.start.saturating_sub(1);
                    return Err(StoreError::Gap { index: first.log_id.index, last: format!("entry {last}") }.into());
                }
                let next = part.last().map(|last| last.log_id.index + 1..rest.end);
                Ok::<_, io::Error>(next.map(|next| (stream::iter(part.into_iter().map(Ok)), next)))
            }
        });
        futures::TryStreamExt::try_flatten(parts)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        Ok(LogState { last_purged_log_id: self.log.purged().map(log_id), last_log_id: self.log.last().map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (told, durable) = oneshot::channel();
        let done = Box::new(move |result| drop(told.send(result)));
        self.log.save_vote(stored_vote(vote), done);
        Ok(durable.await.map_err(io::Error::other)??)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log.save_committed(committed.map(log_pos));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        // Noted without waiting for the log it speaks of, so it may name an entry that a crash took away again.
        let (committed, last) = (self.log.committed(), self.log.last());
        Ok(committed.filter(|_| committed <= last).map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().map(log_entry).collect();
        self.log.append(entries, Box::new(move |result| callback.io_completed(result.map_err(io::Error::from))));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.log.truncate_after(last_log_id.map(log_pos));
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.log.purge(log_pos(log_id));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use gantry_store::{LogPos, Store, StoreConfig};

    use super::*;

    #[tokio::test]
    async fn what_is_applied_begins_where_it_was_asked_to() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { data_dir: dir.path().to_owned(), cluster: "north".to_owned(), node: 1 };
        let Store { log, .. } = Store::open(&config).unwrap();
        let entries =
            (0..10).map(|index| LogEntry { pos: LogPos::new(1, 1, index), payload: gantry_store::Payload::Blank });
        log.append(entries.collect(), Box::new(drop));
        log.purge(LogPos::new(1, 1, 5));
        let mut store = LogStore::new(log);
        let read = async |store: &mut LogStore, range| {
            store.entries_stream(range).await.collect::<Vec<io::Result<Entry>>>().await
        };
        let whole: Vec<u64> =
            read(&mut store, 6..10).await.into_iter().map(|entry| entry.unwrap().log_id.index).collect();
        assert_eq!(whole, [6, 7, 8, 9]);
        assert_eq!(
            store.limited_get_log_entries(3, 10).await.unwrap(),
            [],
            "what is sent follows what was sent before"
        );
        assert_eq!(store.limited_get_log_entries(6, 10).await.unwrap().len(), 4);
        let gap = read(&mut store, 3..10).await.swap_remove(0).unwrap_err().to_string();
        assert!(gap.contains("log entry 6 does not follow entry 2"), "{gap}");
    }
}
