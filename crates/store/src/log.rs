//! The Raft log and the vote.
//!
//! Appending puts entries into the tail in memory, where every reader sees them at once, and hands them to one writer
//! thread. The thread takes everything that waits, writes it as one batch, syncs the WAL once, and only then reports it
//! done: the group grows while the last sync runs, with no timer. Votes, cuts and purges go through the same queue, so what
//! is durable is always a prefix of what was asked for.
//!
//! The queue has no limit of its own: it holds what consensus has in flight, which the proposer on a leader and the
//! replication window on a follower bound.

mod health;
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
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use self::{
    health::Syncs,
    mark::Mark,
    tail::Tail,
    usage::Usage,
    writer::{Job, Writer},
};
pub use self::{
    manifest::Manifest,
    read::ReadLimit,
    record::{Commands, LogEntry, Payload, entry_of_record},
    recover::{VOTE as VOTE_KEY, applied_of_record, vote_of_record},
};
use crate::{
    LogPos, Vote,
    error::{OpenError, StoreError},
    ground::{Ground, Workers},
    kv::KvEngine,
    watch,
};

/// Called when what it was given with is durable, or never will be.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The log of a node. Cheap to clone; all clones are one log.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    writing: Arc<Writing>,
}

/// What readers and the writer thread have in common.
struct Shared {
    engine: Arc<dyn KvEngine>,
    ends: RwLock<Ends>,
    /// How far the writer has come; see [`Log::written`].
    written: watch::Sender<Written>,
    syncs: Mutex<Syncs>,
    workers: Workers,
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
    /// The last entry written. A position, not an index: what a new leader put in the place of entries that are still there has
    /// their indexes, and is written later.
    last: Option<LogPos>,
    failed: Option<Arc<str>>,
}

/// The writer's queue. Ends the writer once the last [`Log`] is gone, so that nothing writes after the store is dropped.
struct Writing {
    /// Taken when it ends.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Wakes the writer where it is no thread.
    ring: Option<Arc<Notify>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends = self.shared.ends.read();
        write!(f, "Log({:?}, {:?}]", ends.purged, ends.last)
    }
}

impl Log {
    /// Reads and checks the whole log, and starts the writer.
    pub(crate) fn open(ground: &Ground, dir: &std::path::Path, engine: Arc<dyn KvEngine>) -> Result<Self, OpenError> {
        let unreadable = |source| OpenError::Unreadable { dir: dir.to_owned(), source };
        let found = recover::scan(&*engine).map_err(unreadable)?;
        let mark = Mark::open(ground, dir).map_err(unreadable)?;
        recover::check_mark(dir, &found, mark.reached())?;
        let ends = Ends {
            tail: Tail::default(),
            purged: found.purged,
            last: found.last,
            vote: found.vote,
            committed: found.committed,
            usage: found.usage,
        };
        let written = watch::Sender::new(Written { last: found.last, failed: None });
        let (ends, syncs, workers) = (RwLock::new(ends), Mutex::default(), ground.workers);
        let shared = Arc::new(Shared { engine, ends, written, syncs, workers });
        let writer = Writer::new(Arc::clone(&shared), mark, found.last_crc);
        let writing = Writing::begin(ground.workers, writer);
        let writing = writing.map_err(|error| OpenError::Unusable { dir: dir.to_owned(), why: error.to_string() })?;
        Ok(Self { shared, writing: Arc::new(writing) })
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

    /// Adds entries: readable when this returns, durable when `done` is called. They follow the last one there is, or none is
    /// added.
    pub fn append(&self, entries: Vec<LogEntry>, done: Done) {
        {
            let written = self.shared.written.borrow().last;
            let mut ends = self.shared.ends.write();
            if let Err(gap) = follow(ends.last, &entries) {
                drop(ends);
                return done(Err(gap));
            }
            for entry in &entries {
                ends.last = Some(entry.pos);
                ends.usage.added(entry.pos.index, entry.size_bytes());
                ends.tail.push(entry.clone());
            }
            ends.tail.shrink(written);
        }
        self.send(Job::Append { entries, done });
    }

    /// Notes a vote: readable when this returns, durable when `done` is called.
    pub fn save_vote(&self, vote: Vote, done: Done) {
        self.shared.ends.write().vote = Some(vote);
        self.send(Job::Vote { vote, done });
    }

    /// Writes a vote that is likely to be asked for next: [`Log::save_vote`] then waits for less, or for nothing. A candidate
    /// waits for votes only so long, and where syncs take as long as that, nobody would ever be elected.
    ///
    /// Nobody may be told of it. A restart may find it, as if this node had been asked and had stopped before it answered;
    /// entries that are appended first take it back, and so does a clean end. Only good where of any two votes one is the
    /// greater: a vote that was granted is then never replaced by one that it excludes.
    pub fn expect_vote(&self, vote: Vote) {
        self.send(Job::ExpectVote { vote });
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

    /// Who reads what is not in memory.
    pub fn workers(&self) -> Workers {
        self.shared.workers
    }

    /// True where [`Log::read`] of this range would be served from memory.
    pub fn is_in_memory(&self, range: &Range<u64>) -> bool {
        self.shared.ends.read().tail.covers(range.start)
    }

    /// Waits until the entry at `pos`, which is committed, is in RocksDB, durable or not, so that a state written now follows
    /// the log it came from also in the WAL. Of what the log does not have there is nothing to wait for.
    pub async fn written(&self, pos: LogPos) -> Result<(), StoreError> {
        let mut written = self.shared.written.subscribe();
        let pos = Some(pos).min(self.last());
        let reached = written.wait_for(|written| written.last >= pos || written.failed.is_some()).await;
        match reached.map(|written| written.failed.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(StoreError::Stopped { why: why.to_string() }),
            Err(_) => Err(StoreError::Stopped { why: "the store is closed".to_owned() }),
        }
    }

    /// Waits until everything that was asked for before is durable.
    pub async fn settled(&self) -> Result<(), StoreError> {
        let (told, is_settled) = oneshot::channel();
        self.send(Job::Settle { done: Box::new(move |result| drop(told.send(result))) });
        is_settled.await.unwrap_or_else(|_| Err(StoreError::Stopped { why: "the store is closed".to_owned() }))
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
        let Some(jobs) = &self.writing.jobs else { return job.fail("the log is closed") };
        if let Err(mpsc::SendError(job)) = jobs.send(job) {
            job.fail("the log writer has ended");
        }
        self.writing.ring();
    }
}

/// Each of `entries` comes right after the one before it, and the first after `last`, where there is one.
fn follow(last: Option<LogPos>, entries: &[LogEntry]) -> Result<(), StoreError> {
    let mut last = last;
    for entry in entries {
        let index = entry.pos.index;
        if last.is_some_and(|last| last.index.checked_add(1) != Some(index)) {
            return Err(StoreError::gap(index, last));
        }
        last = Some(entry.pos);
    }
    Ok(())
}

impl Writing {
    fn begin(workers: Workers, writer: Writer) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let jobs = Some(jobs);
        match workers {
            Workers::Threads => {
                let thread = std::thread::Builder::new().name("gantry-log".to_owned());
                let thread = thread.spawn(move || writer.run(&queue))?;
                Ok(Self { jobs, thread: Some(thread), ring: None })
            }
            Workers::Tasks => {
                let ring = Arc::new(Notify::new());
                tokio::spawn(writer.run_as_task(queue, Arc::clone(&ring)));
                Ok(Self { jobs, thread: None, ring: Some(ring) })
            }
        }
    }

    fn ring(&self) {
        if let Some(ring) = &self.ring {
            ring.notify_one();
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Close the queue first: the writer ends when it has written what is in it.
        self.jobs = None;
        self.ring();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log writer panicked");
        }
    }
}
