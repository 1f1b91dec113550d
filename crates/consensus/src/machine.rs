//! The store's state machine behind the consensus library's traits.

use std::{io, time::Duration};

use futures::{Stream, StreamExt};
use gantry_store::watch;
use gantry_store::{Build, Log, LogEntry, SnapshotFile, SnapshotSource, StateMachine, StoreError};
use gantry_types::Rev;
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot, SnapshotMeta},
};

use crate::{
    checkpoints::{self, Checkpoints},
    convert::{log_entry, log_id, stored_membership},
    raft_types::{Addresses, LeaderId, LogId, StoredMembership, Types},
};

/// Bytes of entries applied as one batch: bounds how long readers of the state wait.
const BATCH_BYTES: usize = 1 << 20;

/// Whoever plans over a large fleet may hold the state for half a second. In between, apply gives its thread back, and those
/// who only read theirs: heartbeats wait for threads too.
const LOCK_WAIT: Duration = Duration::from_millis(10);
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Between two looks for the room that a snapshot needs.
const ROOM_PAUSE: Duration = Duration::from_secs(2);

type Meta = SnapshotMeta<LeaderId, u64, Addresses>;
pub(crate) type RaftSnapshot = Snapshot<LeaderId, u64, Addresses, SnapshotFile>;

/// Applies what is committed, and tells how far it has come.
#[derive(Debug)]
pub(crate) struct Machine {
    machine: StateMachine,
    log: Log,
    applied: watch::Sender<Rev>,
    checkpoints: Checkpoints,
}

impl Machine {
    pub(crate) fn new(machine: StateMachine, log: Log, applied: watch::Sender<Rev>, checkpoints: Checkpoints) -> Self {
        applied.send_replace(machine.state().read().rev());
        Self { machine, log, applied, checkpoints }
    }

    /// Hashes the state as it is now, right after `rev`.
    async fn hash_at(&self, rev: Rev) {
        let begun = self.machine.begin_hash().await;
        self.checkpoints.follow(rev, checkpoints::finished(begun));
    }

    async fn builder(&self) -> Builder {
        Builder { build: Some(self.machine.begin_snapshot().await), source: self.machine.snapshot_source() }
    }

    async fn apply_batch(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Some(last) = batch.entries.last() else { return Ok(()) };
        let rev = last.pos.index;
        // The state must not come ahead of the log it came from, in the one WAL that they share.
        self.log.written(last.pos).await?;
        let results = loop {
            match self.machine.try_apply(&batch.entries, LOCK_WAIT)? {
                Some(results) => break results,
                None => tokio::time::sleep(LOCK_PAUSE).await,
            }
        };
        self.applied.send_replace(rev);
        for (responder, result) in batch.responders.drain(..).zip(results) {
            if let Some(responder) = responder {
                responder.send(result);
            }
        }
        batch.entries.clear();
        batch.size_bytes = 0;
        Ok(())
    }
}

#[derive(Default)]
struct Batch {
    entries: Vec<LogEntry>,
    responders: Vec<Option<ApplyResponder<Types>>>,
    size_bytes: usize,
}

/// A snapshot as the library wants it: the file, and what it says of itself.
pub(crate) fn raft_snapshot(file: SnapshotFile) -> io::Result<RaftSnapshot> {
    let last_membership = stored_membership(file.membership())?;
    Ok(Snapshot { meta: Meta { last_log_id: file.position().map(log_id), last_membership }, snapshot: file })
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.machine.state().read();
        Ok((state.applied.map(log_id), stored_membership(&state.membership)?))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let entry = log_entry(entry);
            batch.size_bytes += entry.size_bytes();
            batch.entries.push(entry);
            batch.responders.push(responder);
            let rev = batch.entries.last().map_or(0, |entry| entry.pos.index);
            if self.checkpoints.passes(rev) {
                self.apply_batch(&mut batch).await?;
                self.hash_at(rev).await;
                continue;
            }
            if batch.size_bytes >= BATCH_BYTES {
                self.apply_batch(&mut batch).await?;
            }
        }
        self.apply_batch(&mut batch).await
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Builder> {
        Some(self.builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder().await
    }

    async fn install_snapshot(&mut self, _meta: &Meta, snapshot: SnapshotFile) -> io::Result<()> {
        // What was cut off the log for it must not be there beside it after a crash.
        self.log.settled().await?;
        let install = self.machine.install(snapshot);
        self.machine.workers().run(install).await??;
        let rev = self.machine.state().read().rev();
        self.checkpoints.passes(rev);
        self.applied.send_replace(rev);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        self.machine.snapshots().current().map(raft_snapshot).transpose()
    }
}

/// Waits for a snapshot whose view of the state is already taken. Where there is no room for it, it waits for room, and takes
/// another view then: a node without a new snapshot is as good as before, one that ends for it is not.
pub(crate) struct Builder {
    build: Option<Result<Build, StoreError>>,
    source: SnapshotSource,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let mut build = self.build.take().ok_or_else(|| io::Error::other("a snapshot builder builds one snapshot"))?;
        loop {
            let built = match build {
                Ok(build) => build.finish().await,
                Err(error) => Err(error),
            };
            match built {
                Err(error) if error.is_full() => tokio::time::sleep(ROOM_PAUSE).await,
                built => return raft_snapshot(built?),
            }
            build = self.source.begin().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_store::{Store, StoreConfig};

    use super::*;

    #[tokio::test]
    async fn a_snapshot_without_room_waits_for_it_and_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { data_dir: dir.path().to_owned(), cluster: "north".to_owned(), node: 1 };
        let Store { log, machine, .. } = Store::open(&config).unwrap();
        let snapshots = machine.snapshots().clone();
        snapshots.keep_free(u64::MAX / 2);
        let mut machine = Machine::new(machine, log, watch::channel(0).0, Checkpoints::new(0));
        let mut builder = machine.get_snapshot_builder().await;
        let building = tokio::spawn(async move { builder.build_snapshot().await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!building.is_finished(), "{:?}", building.await);
        snapshots.keep_free(0);
        let built = tokio::time::timeout(ROOM_PAUSE * 10, building).await.unwrap().unwrap();
        assert!(built.is_ok() && snapshots.current().is_some(), "{built:?}");
    }
}
