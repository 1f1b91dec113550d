//! The one thread that writes the log; in a simulation, the one task.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    Done, LogEntry, Shared,
    mark::Mark,
    record,
    recover::{COMMITTED, PURGED, VOTE},
};
use crate::{
    LogPos, Vote,
    error::StoreError,
    kv::{Batch, Column},
    meta,
};

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
    /// See [`super::Log::expect_vote`].
    ExpectVote {
        vote: Vote,
    },
    /// Nothing, but for the sync of all that came before.
    Settle {
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
        if let Self::Append { done, .. } | Self::Vote { done, .. } | Self::Settle { done } = self {
            done(Err(StoreError::Stopped { why: why.to_owned() }));
        }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    mark: Mark,
    /// What is written, with the group under way.
    last: Option<LogPos>,
    last_crc: u32,
    vote: Option<Vote>,
    /// Written in the place of the vote, and not asked for yet.
    expected: Option<Vote>,
    committed: Option<LogPos>,
    /// Something may lie in the WAL's buffer.
    idle_sync_due: bool,
    scratch: Vec<u8>,
}

/// What goes into one write and one sync.
#[derive(Default)]
struct Group {
    batch: Batch,
    done: Vec<Done>,
    /// Indexes whose files may go once the group is durable.
    purged: Option<std::ops::Range<u64>>,
    /// False where all of it was durable before.
    is_news: bool,
}

/// A group that is written and not yet durable.
struct Unsynced {
    done: Vec<Done>,
    purged: Option<std::ops::Range<u64>>,
    is_news: bool,
    size_bytes: usize,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, mark: Mark, last_crc: u32) -> Self {
        let (last, vote, committed) = {
            let ends = shared.ends.read();
            (ends.last, ends.vote, ends.committed)
        };
        let (expected, idle_sync_due, scratch) = (None, false, Vec::new());
        Self { shared, mark, last, last_crc, vote, expected, committed, idle_sync_due, scratch }
    }

    /// Works until every [`super::Log`] is gone, or until a write fails: then nothing is written any more.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job>) {
        let _guard = EndOnPanic;
        let failed = loop {
            let result = match queue.recv_timeout(IDLE) {
                Ok(job) => self.busy(|writer| writer.write_group(job, queue)),
                Err(mpsc::RecvTimeoutError::Timeout) => self.busy(Self::idle),
                Err(mpsc::RecvTimeoutError::Disconnected) => break self.close().err(),
            };
            if let Err(error) = result {
                break Some(error);
            }
        };
        if let Some(why) = self.end(failed) {
            queue.iter().for_each(|job| job.fail(&why));
        }
    }

    /// As [`Writer::run`], on a task of a simulation: `ring` says that something was sent, and a sync takes the time that the
    /// engine says.
    pub(super) async fn run_as_task(mut self, queue: mpsc::Receiver<Job>, ring: Arc<Notify>) {
        let failed = loop {
            let result = match queue.try_recv() {
                Ok(job) => match self.collect(job, &queue) {
                    Ok(group) => {
                        self.shared.syncs.lock().begin();
                        let begun = Instant::now();
                        if group.is_news {
                            tokio::time::sleep(self.shared.engine.sync_takes()).await;
                        }
                        self.busy(|writer| writer.settle(group, begun))
                    }
                    Err(error) => Err(error),
                },
                Err(mpsc::TryRecvError::Empty) => match tokio::time::timeout(IDLE, ring.notified()).await {
                    Ok(()) => Ok(()),
                    Err(_) => self.busy(Self::idle),
                },
                Err(mpsc::TryRecvError::Disconnected) => break self.close().err(),
            };
            if let Err(error) = result {
                break Some(error);
            }
        };
        let Some(why) = self.end(failed) else { return };
        loop {
            match queue.try_recv() {
                Ok(job) => job.fail(&why),
                Err(mpsc::TryRecvError::Empty) => ring.notified().await,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        // Who was expected to be voted for may have lost long ago.
        let mut group = Group::default();
        self.expect_no_more(&mut group);
        self.write(group.batch)?;
        self.shared.engine.sync().and_then(|()| self.mark.close())
    }

    /// Says why nothing is written any more, where a write has failed: whoever asks for another is to be told.
    fn end(self, failed: Option<StoreError>) -> Option<Arc<str>> {
        let error = failed?;
        tracing::error!(%error, "the log cannot be written: this node must stop");
        let why: Arc<str> = error.to_string().into();
        self.shared.written.send_modify(|written| written.failed = Some(Arc::clone(&why)));
        Some(why)
    }

    /// Does `work` so that others see how long it takes.
    fn busy(&mut self, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.shared.syncs.lock().begin();
        let result = work(self);
        self.shared.syncs.lock().end();
        result
    }

    /// Takes everything that waits, writes it, syncs it, and reports it done.
    fn write_group(&mut self, first: Job, queue: &mpsc::Receiver<Job>) -> Result<(), StoreError> {
        let group = self.collect(first, queue)?;
        self.settle(group, Instant::now())
    }

    /// Takes what waits, and writes it without making it durable.
    fn collect(&mut self, first: Job, queue: &mpsc::Receiver<Job>) -> Result<Unsynced, StoreError> {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(job) = next {
            if let Err(error) = self.add(job, &mut group) {
                return Err(failed(group.done, error));
            }
            next = if group.batch.size_bytes() < GROUP_BYTES { queue.try_recv().ok() } else { None };
        }
        let Group { batch, done, purged, is_news } = group;
        let size_bytes = batch.size_bytes();
        match self.write(batch) {
            Ok(()) => Ok(Unsynced { done, purged, is_news, size_bytes }),
            Err(error) => Err(failed(done, error)),
        }
    }

    /// Makes what was written durable, and reports it done.
    fn settle(&mut self, group: Unsynced, begun: Instant) -> Result<(), StoreError> {
        let Unsynced { done, purged, is_news, size_bytes } = group;
        match if is_news { self.sync(size_bytes, begun) } else { Ok(()) } {
            // Newest first: completion is a watermark, so the older ones then have nothing left to tell.
            Ok(()) => done.into_iter().rev().for_each(|done| done(Ok(()))),
            Err(error) => return Err(failed(done, error)),
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
                group.is_news = true;
                self.expect_no_more(group);
                for entry in &entries {
                    self.add_entry(entry, group);
                }
            }
            Job::Vote { vote, done } => {
                group.done.push(done);
                self.vote = Some(vote);
                if self.expected.take() != Some(vote) {
                    group.is_news = true;
                    group.batch.put(Column::Meta, VOTE, meta::encode(&vote));
                }
            }
            Job::ExpectVote { vote } => {
                if Some(vote) > self.vote.max(self.expected) {
                    group.is_news = true;
                    group.batch.put(Column::Meta, VOTE, meta::encode(&vote));
                    self.expected = Some(vote);
                }
            }
            Job::Settle { done } => {
                group.done.push(done);
                group.is_news = true;
            }
            Job::Truncate { last, end } => {
                group.is_news = true;
                self.truncate(last, end, group)?;
            }
            Job::Purge { from, upto } => {
                group.is_news = true;
                self.purge(from, upto, group);
            }
        }
        Ok(())
    }

    /// There is a leader, who was not the one expected: after a restart nobody is to be told of that vote.
    fn expect_no_more(&mut self, group: &mut Group) {
        match (self.expected.take(), self.vote) {
            (None, _) => {}
            (Some(_), Some(vote)) => group.batch.put(Column::Meta, VOTE, meta::encode(&vote)),
            (Some(_), None) => group.batch.delete(Column::Meta, VOTE),
        }
    }

    fn add_entry(&mut self, entry: &LogEntry, group: &mut Group) {
        self.last_crc = record::encode(entry, self.last_crc, &mut self.scratch);
        self.last = Some(entry.pos);
        group.batch.put(Column::Log, record::key(entry.pos.index), &self.scratch);
    }

    fn truncate(&mut self, last: Option<LogPos>, end: u64, group: &mut Group) -> Result<(), StoreError> {
        // What is cut may still be in the group, and the record that becomes the last one is read back for its CRC.
        self.write(std::mem::take(&mut group.batch))?;
        self.mark.lower(last)?;
        let next = last.map_or(0, |last| last.index + 1);
        if end - next <= CUT_ONE_BY_ONE {
            (next..end).for_each(|index| group.batch.delete(Column::Log, record::key(index)));
        } else {
            group.batch.delete_range(Column::Log, record::key(next), record::key(end));
        }
        let kept = match last {
            Some(last) => self.shared.engine.get(Column::Log, &record::key(last.index))?,
            None => None,
        };
        self.last_crc = kept.as_deref().and_then(record::stored_crc).unwrap_or_default();
        self.last = last;
        Ok(())
    }

    fn purge(&mut self, from: u64, upto: LogPos, group: &mut Group) {
        group.batch.delete_range(Column::Log, record::key(from), record::key(upto.index + 1));
        group.batch.put(Column::Meta, PURGED, meta::encode(&upto));
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = Some(upto);
        }
        group.purged = Some(group.purged.take().map_or(from, |earlier| earlier.start)..upto.index + 1);
    }

    /// Whole files of purged entries go at once; the rest goes when files are merged. Nothing is lost if this fails.
    fn drop_files(&self, range: std::ops::Range<u64>) {
        let (first, end) = (record::key(range.start), record::key(range.end));
        if let Err(error) = self.shared.engine.drop_range(Column::Log, (&first, &end)) {
            tracing::warn!(%error, "cannot drop purged log files");
        }
    }

    /// Puts a batch into the database, with which it ends at `last`, and says so, without making it durable.
    fn write(&mut self, mut batch: Batch) -> Result<(), StoreError> {
        let committed = self.shared.ends.read().committed;
        if committed != self.committed {
            self.committed = committed;
            match committed {
                Some(pos) => batch.put(Column::Meta, COMMITTED, meta::encode(&pos)),
                None => batch.delete(Column::Meta, COMMITTED),
            }
        }
        if !batch.is_empty() {
            self.shared.engine.write("write the log", &batch)?;
        }
        let last = self.last;
        self.shared.written.send_if_modified(|written| std::mem::replace(&mut written.last, last) != last);
        Ok(())
    }

    fn sync(&self, size_bytes: usize, begun: Instant) -> Result<(), StoreError> {
        self.shared.engine.sync()?;
        let elapsed = begun.elapsed();
        self.shared.syncs.lock().took(elapsed);
        if elapsed >= SLOW_SYNC {
            tracing::warn!(elapsed_ms = elapsed.as_millis() as u64, size_bytes, "syncing the log took long");
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.idle_sync_due) {
            self.write(Batch::default())?;
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

/// Tells everybody of the error, newest first as ever.
fn failed(done: Vec<Done>, error: StoreError) -> StoreError {
    done.into_iter().rev().for_each(|done| done(Err(error.clone())));
    error
}
