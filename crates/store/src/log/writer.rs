//! The one thread that writes the log.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rocksdb::WriteBatch;

use super::{
    Done, LogEntry, Shared,
    mark::Mark,
    record,
    recover::{COMMITTED, PURGED, VOTE},
};
use crate::{LogPos, Vote, error::StoreError, meta};

/// Bytes written as one group at most; what waits beyond that forms the next group.
const GROUP_BYTES: usize = 16 << 20;
/// How long the thread waits for work before it syncs what state writes have left in the WAL's buffer.
const IDLE: Duration = Duration::from_millis(250);
/// A sync that takes longer is worth a line: elections and leases are counted in hundreds of milliseconds.
const SLOW_SYNC: Duration = Duration::from_millis(200);
/// Entries cut one by one; more are cut as a range, whose tombstone every later read has to look at.
const CUT_ONE_BY_ONE: u64 = 4_096;

/// Something to write.
pub(super) enum Job {
    Append {
        entries: Vec<LogEntry>,
        done: Done,
    },
    Vote {
        vote: Vote,
        done: Done,
    },
    /// Removes the entries after `last` and before `end`.
    Truncate {
        last: Option<LogPos>,
        end: u64,
    },
    /// Removes the entries from `from` up to `upto`.
    Purge {
        from: u64,
        upto: LogPos,
    },
}

impl Job {
    pub(super) fn fail(self, why: &str) {
        if let Self::Append { done, .. } | Self::Vote { done, .. } = self {
            done(Err(StoreError::Stopped { why: why.to_owned() }));
        }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    mark: Mark,
    /// What is written, but for the group under way.
    last: Option<LogPos>,
    last_crc: u32,
    vote: Option<Vote>,
    committed: Option<LogPos>,
    /// Something may lie in the WAL's buffer.
    idle_sync_due: bool,
    scratch: Vec<u8>,
}

/// What goes into one write and one sync.
#[derive(Default)]
struct Group {
    batch: WriteBatch,
    done: Vec<Done>,
    end: Option<u64>,
    /// Indexes whose files may go once the group is durable.
    purged: Option<std::ops::Range<u64>>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, mark: Mark, last_crc: u32) -> Self {
        let (last, vote, committed) = {
            let ends = shared.ends.read();
            (ends.last, ends.vote, ends.committed)
        };
        Self { shared, mark, last, last_crc, vote, committed, idle_sync_due: false, scratch: Vec::new() }
    }

    /// Works until every [`super::Log`] is gone, or until a write fails: then nothing is written any more.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job>) {
        let _guard = EndOnPanic;
        let failed = loop {
            let result = match queue.recv_timeout(IDLE) {
                Ok(job) => self.busy(|writer| writer.write_group(job, queue)),
                Err(mpsc::RecvTimeoutError::Timeout) => self.busy(Self::idle),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    break self.shared.engine.sync().and_then(|()| self.mark.close()).err();
                }
            };
            if let Err(error) = result {
                break Some(error);
            }
        };
        let Some(error) = failed else { return };
        tracing::error!(%error, "the log cannot be written: this node must stop");
        let why: Arc<str> = error.to_string().into();
        self.shared.written.send_modify(|written| written.failed = Some(Arc::clone(&why)));
        queue.iter().for_each(|job| job.fail(&why));
    }

    /// Does `work` so that others see how long it takes.
    fn busy(&mut self, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        *self.shared.busy_since.lock() = Some(Instant::now());
        let result = work(self);
        *self.shared.busy_since.lock() = None;
        result
    }

    /// Takes everything that waits, writes it, syncs it, and reports it done.
    fn write_group(&mut self, first: Job, queue: &mpsc::Receiver<Job>) -> Result<(), StoreError> {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(job) = next {
            if let Err(error) = self.add(job, &mut group) {
                return group.fail(error);
            }
            next = if group.batch.size_in_bytes() < GROUP_BYTES { queue.try_recv().ok() } else { None };
        }
        let Group { batch, done, end, purged } = group;
        let size_bytes = batch.size_in_bytes();
        match self.write(batch, end).and_then(|()| self.sync(size_bytes)) {
            // Newest first: completion is a watermark, so the older ones then have nothing left to tell.
            Ok(()) => done.into_iter().rev().for_each(|done| done(Ok(()))),
            Err(error) => return Group { done, ..Group::default() }.fail(error),
        }
        if let Some(range) = purged {
            self.drop_files(range);
        }
        self.idle_sync_due = true;
        self.mark.note(self.last, self.vote)
    }

    fn add(&mut self, job: Job, group: &mut Group) -> Result<(), StoreError> {
        match job {
            Job::Append { entries, done } => {
                group.done.push(done);
                for entry in &entries {
                    self.add_entry(entry, group);
                }
            }
            Job::Vote { vote, done } => {
                group.done.push(done);
                self.vote = Some(vote);
                group.batch.put_cf(self.shared.engine.meta(), VOTE, meta::encode(&vote));
            }
            Job::Truncate { last, end } => self.truncate(last, end, group)?,
            Job::Purge { from, upto } => self.purge(from, upto, group),
        }
        Ok(())
    }

    fn add_entry(&mut self, entry: &LogEntry, group: &mut Group) {
        self.last_crc = record::encode(entry, self.last_crc, &mut self.scratch);
        self.last = Some(entry.pos);
        group.end = Some(entry.pos.index + 1);
        group.batch.put_cf(self.shared.engine.log(), record::key(entry.pos.index), &self.scratch);
    }

    fn truncate(&mut self, last: Option<LogPos>, end: u64, group: &mut Group) -> Result<(), StoreError> {
        // What is cut may still be in the group, and the record that becomes the last one is read back for its CRC.
        self.write(std::mem::take(&mut group.batch), group.end.take())?;
        self.mark.lower(last)?;
        let engine = Arc::clone(&self.shared.engine);
        let next = last.map_or(0, |last| last.index + 1);
        if end - next <= CUT_ONE_BY_ONE {
            (next..end).for_each(|index| group.batch.delete_cf(engine.log(), record::key(index)));
        } else {
            group.batch.delete_range_cf(engine.log(), record::key(next), record::key(end));
        }
        let kept = match last {
            Some(last) => engine.db().get_cf(engine.log(), record::key(last.index)),
            None => Ok(None),
        };
        let kept = kept.map_err(StoreError::engine("read the log"))?;
        self.last_crc = kept.as_deref().and_then(record::stored_crc).unwrap_or_default();
        self.last = last;
        group.end = Some(next);
        Ok(())
    }

    fn purge(&mut self, from: u64, upto: LogPos, group: &mut Group) {
        let engine = &self.shared.engine;
        group.batch.delete_range_cf(engine.log(), record::key(from), record::key(upto.index + 1));
        group.batch.put_cf(engine.meta(), PURGED, meta::encode(&upto));
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = Some(upto);
            group.end = Some(upto.index + 1);
        }
        group.purged = Some(group.purged.take().map_or(from, |earlier| earlier.start)..upto.index + 1);
    }

    /// Whole files of purged entries go at once; the rest goes when files are merged. Nothing is lost if this fails.
    fn drop_files(&self, range: std::ops::Range<u64>) {
        let (first, end) = (record::key(range.start), record::key(range.end));
        if let Err(error) = self.shared.engine.db().delete_file_in_range_cf(self.shared.engine.log(), first, end) {
            tracing::warn!(%error, "cannot drop purged log files");
        }
    }

    /// Puts a batch into RocksDB and says so, without making it durable.
    fn write(&mut self, mut batch: WriteBatch, end: Option<u64>) -> Result<(), StoreError> {
        let committed = self.shared.ends.read().committed;
        if committed != self.committed {
            self.committed = committed;
            match committed {
                Some(pos) => batch.put_cf(self.shared.engine.meta(), COMMITTED, meta::encode(&pos)),
                None => batch.delete_cf(self.shared.engine.meta(), COMMITTED),
            }
        }
        if !batch.is_empty() {
            self.shared.engine.write("write the log", batch)?;
        }
        if let Some(end) = end {
            self.shared.written.send_modify(|written| written.end = end);
        }
        Ok(())
    }

    fn sync(&self, size_bytes: usize) -> Result<(), StoreError> {
        let start = Instant::now();
        self.shared.engine.sync()?;
        let elapsed = start.elapsed();
        if elapsed >= SLOW_SYNC {
            tracing::warn!(elapsed_ms = elapsed.as_millis() as u64, size_bytes, "syncing the log took long");
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.idle_sync_due) {
            self.write(WriteBatch::default(), None)?;
            self.shared.engine.sync()?;
            self.mark.sync()?;
        }
        Ok(())
    }
}

/// A panic here would leave everybody waiting for callbacks that never come.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the log writer panicked: this process must end");
            std::process::abort();
        }
    }
}

impl Group {
    fn fail(self, error: StoreError) -> Result<(), StoreError> {
        self.done.into_iter().rev().for_each(|done| done(Err(error.clone())));
        Err(error)
    }
}
