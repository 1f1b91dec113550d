//! The Raft log and the vote.
//!
//! Appending puts entries into the tail in memory, where every reader sees them at once, and hands them to one writer
//! thread. The thread takes everything that waits, writes it as one batch, syncs the WAL once, and only then reports it
//! done: the group grows while the last sync runs, with no timer. Votes, cuts and purges go through the same queue, so what
//! is durable is always a prefix of what was asked for.
//!
//! The queue has no limit of its own: it holds what consensus has in flight, which the proposer on a leader and the
//! replication window on a follower bound.

pub(crate) mod manifest;
pub(crate) mod mark;
mod read;
pub(crate) mod record;
pub(crate) mod recover;
mod tail;
mod usage;
mod writer;

use std::{
    ops::Range,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use self::{
    mark::Mark,
    tail::Tail,
    usage::Usage,
    writer::{Job, Writer},
};
pub use self::{
    read::ReadLimit,
    record::{Commands, LogEntry, Payload},
};
use crate::{
    LogPos, Vote,
    engine::Engine,
    error::{OpenError, StoreError},
};

/// Called when what it was given with is durable, or never will be.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The log of a node. Cheap to clone; all clones are one log.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    thread: Arc<Thread>,
}

/// What readers and the writer thread have in common.
struct Shared {
    engine: Arc<Engine>,
    ends: RwLock<Ends>,
    /// How far the writer has come; see [`Log::written`].
    written: watch::Sender<Written>,
    /// When the writer began what it is doing; see [`Log::busy_for`].
    busy_since: Mutex<Option<Instant>>,
}

/// The log as consensus sees it, ahead of what is durable.
struct Ends {
    tail: Tail,
    purged: Option<LogPos>,
    last: Option<LogPos>,
    vote: Option<Vote>,
    committed: Option<LogPos>,
    usage: Usage,
}

/// What the writer thread has put into RocksDB, durable or not.
#[derive(Clone, Debug, Default)]
struct Written {
    /// Index after the last entry written.
    end: u64,
    failed: Option<Arc<str>>,
}

/// Joins the writer thread once the last [`Log`] is gone, so that nothing writes after the store is dropped.
struct Thread(Mutex<Option<std::thread::JoinHandle<()>>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends = self.shared.ends.read();
        write!(f, "Log({:?}, {:?}]", ends.purged, ends.last)
    }
}

impl Log {
    /// Reads and checks the whole log, and starts the writer.
    pub(crate) fn open(dir: &std::path::Path, engine: Arc<Engine>) -> Result<Self, OpenError> {
        let unreadable = |source| OpenError::Unreadable { dir: dir.to_owned(), source };
        let found = recover::scan(&engine).map_err(unreadable)?;
        let mark = Mark::open(dir).map_err(unreadable)?;
        recover::check_mark(dir, &found, mark.reached())?;
        let end = found.last.map_or(0, |last| last.index + 1);
        let ends = Ends {
            tail: Tail::default(),
            purged: found.purged,
            last: found.last,
            vote: found.vote,
            committed: found.committed,
            usage: found.usage,
        };
        let written = watch::Sender::new(Written { end, failed: None });
        let busy_since = Mutex::new(None);
        let shared = Arc::new(Shared { engine, ends: RwLock::new(ends), written, busy_since });
        let (jobs, queue) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), mark, found.last_crc);
        let thread = std::thread::Builder::new().name("gantry-log".to_owned()).spawn(move || writer.run(&queue));
        let thread = thread.map_err(|error| OpenError::Unusable { dir: dir.to_owned(), why: error.to_string() })?;
        Ok(Self { shared, jobs, thread: Arc::new(Thread(Mutex::new(Some(thread)))) })
    }

    /// The last entry, or the last purged one where none is left.
    pub fn last(&self) -> Option<LogPos> {
        self.shared.ends.read().last
    }

    /// The last entry that was purged.
    pub fn purged(&self) -> Option<LogPos> {
        self.shared.ends.read().purged
    }

    pub fn vote(&self) -> Option<Vote> {
        self.shared.ends.read().vote
    }

    /// The last committed position that was noted; on a restart an older one than the truth.
    pub fn committed(&self) -> Option<LogPos> {
        self.shared.ends.read().committed
    }

    /// Adds entries: readable when this returns, durable when `done` is called.
    pub fn append(&self, entries: Vec<LogEntry>, done: Done) {
        {
            let written_end = self.shared.written.borrow().end;
            let mut ends = self.shared.ends.write();
            for entry in &entries {
                ends.last = Some(entry.pos);
                ends.usage.added(entry.pos.index, entry.size_bytes());
                ends.tail.push(entry.clone());
            }
            ends.tail.shrink(written_end);
        }
        self.send(Job::Append { entries, done });
    }

    /// Notes a vote: readable when this returns, durable when `done` is called.
    pub fn save_vote(&self, vote: Vote, done: Done) {
        self.shared.ends.write().vote = Some(vote);
        self.send(Job::Vote { vote, done });
    }

    /// Notes how far entries are committed. Reaches the disk with whatever is written next.
    pub fn save_committed(&self, committed: Option<LogPos>) {
        self.shared.ends.write().committed = committed;
    }

    /// Removes the entries after `last`. Durable before anything appended later is.
    pub fn truncate_after(&self, last: Option<LogPos>) {
        let next = last.map_or(0, |last| last.index + 1);
        let old = {
            let mut ends = self.shared.ends.write();
            let old = ends.last;
            if old.is_none_or(|old| old.index < next) {
                return;
            }
            ends.tail.truncate(next);
            ends.usage.truncated(next);
            ends.last = last.max(ends.purged);
            old
        };
        self.send(Job::Truncate { last, end: old.map_or(next, |old| old.index + 1) });
    }

    /// Removes the entries up to `upto`, which a snapshot covers.
    pub fn purge(&self, upto: LogPos) {
        let from = {
            let mut ends = self.shared.ends.write();
            if ends.purged.is_some_and(|purged| purged.index >= upto.index) {
                return;
            }
            let from = ends.purged.map_or(0, |purged| purged.index + 1);
            ends.purged = Some(upto);
            ends.tail.purge(upto.index);
            ends.usage.purged(upto.index);
            if ends.last.is_none_or(|last| last.index <= upto.index) {
                ends.last = Some(upto);
            }
            from
        };
        self.send(Job::Purge { from, upto });
    }

    /// The entries with indexes in `range` that the log holds, up to `limit`, without a gap.
    pub fn read(&self, range: Range<u64>, limit: ReadLimit) -> Result<Vec<LogEntry>, StoreError> {
        read::read(&self.shared, range, limit)
    }

    /// True where [`Log::read`] of this range would be served from memory.
    pub fn is_in_memory(&self, range: &Range<u64>) -> bool {
        self.shared.ends.read().tail.covers(range.start)
    }

    /// Waits until the entries before `end` are in RocksDB, durable or not, so that a state written now follows the log it
    /// came from also in the WAL.
    pub async fn written(&self, end: u64) -> Result<(), StoreError> {
        let mut written = self.shared.written.subscribe();
        let end = end.min(self.last().map_or(0, |last| last.index + 1));
        let reached = written.wait_for(|written| written.end >= end || written.failed.is_some()).await;
        match reached.map(|written| written.failed.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(StoreError::Stopped { why: why.to_string() }),
            Err(_) => Err(StoreError::Stopped { why: "the store is closed".to_owned() }),
        }
    }

    /// How long the write and sync under way have taken so far; zero where there is none. A disk that works takes
    /// milliseconds.
    pub fn busy_for(&self) -> Duration {
        self.shared.busy_since.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Entries and bytes that the log holds.
    pub fn size(&self) -> (u64, u64) {
        let ends = self.shared.ends.read();
        let after = ends.purged.map_or(0, |purged| purged.index + 1);
        let entries = ends.last.map_or(0, |last| (last.index + 1).saturating_sub(after));
        (entries, ends.usage.bytes())
    }

    /// Entries and bytes after `index`.
    pub fn size_after(&self, index: u64) -> (u64, u64) {
        let ends = self.shared.ends.read();
        let entries = ends.last.map_or(0, |last| last.index.saturating_sub(index));
        (entries, ends.usage.bytes_after(index))
    }

    /// The largest index to purge such that no more than `entries` entries and about `bytes` bytes are left.
    pub fn purge_point(&self, entries: u64, bytes: u64) -> u64 {
        let ends = self.shared.ends.read();
        let last = ends.last.map_or(0, |last| last.index);
        last.saturating_sub(entries).max(ends.usage.index_keeping(bytes))
    }

    /// The writer's end may be gone only after a failure, which every later call is told of.
    fn send(&self, job: Job) {
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            job.fail("the log writer has ended");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if Arc::strong_count(&self.thread) > 1 {
            return;
        }
        // Close the queue first: the thread ends when it has written what is in it.
        self.jobs = mpsc::channel().0;
        if let Some(thread) = self.thread.0.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the log writer panicked");
        }
    }
}
