//! The store's state machine behind the consensus library's traits.

use std::io;

use futures::{Stream, StreamExt};
use gantry_store::{Build, Log, LogEntry, SnapshotFile, StateMachine, StoreError};
use gantry_types::Rev;
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot, SnapshotMeta},
};
use tokio::sync::watch;

use crate::{
    checkpoints::{self, Checkpoints},
    convert::{log_entry, log_id, stored_membership},
    raft_types::{Addresses, LeaderId, LogId, StoredMembership, Types},
};

/// Bytes of entries applied as one batch: bounds how long readers of the state wait.
const BATCH_BYTES: usize = 1 << 20;

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

    async fn apply_batch(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Some(last) = batch.entries.last() else { return Ok(()) };
        let rev = last.pos.index;
        // The state must not come ahead of the log it came from, in the one WAL that they share.
        self.log.written(rev + 1).await?;
        let results = self.machine.apply(&batch.entries)?;
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
        Some(Builder { build: Some(self.machine.begin_snapshot().await) })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { build: Some(self.machine.begin_snapshot().await) }
    }

    async fn install_snapshot(&mut self, _meta: &Meta, snapshot: SnapshotFile) -> io::Result<()> {
        let install = self.machine.install(snapshot);
        tokio::task::spawn_blocking(install).await.map_err(io::Error::other)??;
        let rev = self.machine.state().read().rev();
        self.checkpoints.passes(rev);
        self.applied.send_replace(rev);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        self.machine.snapshots().current().map(raft_snapshot).transpose()
    }
}

/// Waits for a snapshot whose view of the state is already taken.
pub(crate) struct Builder {
    build: Option<Result<Build, StoreError>>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let build = self.build.take().ok_or_else(|| io::Error::other("a snapshot builder builds one snapshot"))?;
        raft_snapshot(build?.finish().await?)
    }
}
