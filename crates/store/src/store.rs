//! A node's data directory, opened.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use crate::{
    Applied, Build, Identity, Log, LogEntry, Member, SharedState, SnapshotFile, Snapshots,
    apply::Applier,
    dir_lock::DirLock,
    disk,
    engine::Engine,
    error::{OpenError, StoreError},
    evidence,
    log::{manifest, mark::Mark},
    roster,
    snapshot::{self, Installer},
};

/// Whose directory to open.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub data_dir: PathBuf,
    /// The operator's name for the cluster.
    pub cluster: String,
    pub node: u64,
}

/// Everything durable of a node.
#[derive(Debug)]
pub struct Store {
    pub log: Log,
    pub machine: StateMachine,
    pub owner: Owner,
}

impl Store {
    /// Opens the directory, or creates it. Reads the whole log and the whole state: blocking, and not instant.
    pub fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let dir = &config.data_dir;
        let unusable = |error: StoreError| OpenError::Unusable { dir: dir.clone(), why: error.to_string() };
        let unreadable = |source| OpenError::Unreadable { dir: dir.clone(), source };
        disk::create_dir(dir).map_err(unusable)?;
        let lock = DirLock::take(dir)?;
        evidence::finish_set_aside(dir).map_err(unusable)?;
        let identity = Identity::open(dir, &config.cluster, config.node)?;
        evidence::refuse(dir)?;
        let reached = Mark::look(dir).map_err(unreadable)?;
        manifest::check(dir, reached.manifest).map_err(unreadable)?;
        let engine = Arc::new(Engine::open(dir)?.holding(lock));
        let snapshots = Snapshots::open(dir).map_err(unreadable)?;
        snapshot::finish_interrupted(&engine, &snapshots).map_err(unreadable)?;
        let log = Log::open(dir, Arc::clone(&engine))?;
        let applier = Applier::load(Arc::clone(&engine)).map_err(unreadable)?;
        let machine = StateMachine { engine, applier, snapshots };
        let owner = Owner { dir: dir.clone(), identity: Arc::new(Mutex::new(identity)) };
        Ok(Self { log, machine, owner })
    }
}

/// Who the directory belongs to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Owner {
    dir: PathBuf,
    identity: Arc<Mutex<Identity>>,
}

impl Owner {
    pub fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// Makes this node one of the cluster `cluster_id`, for good: durable when it returns. False where it already is one of
    /// another cluster.
    pub fn join(&self, cluster_id: u64) -> Result<bool, StoreError> {
        let mut identity = self.identity.lock();
        if identity.cluster_id == 0 {
            let joined = Identity { cluster_id, ..identity.clone() };
            joined.save(&self.dir)?;
            *identity = joined;
        }
        Ok(identity.cluster_id == cluster_id)
    }
}

impl Owner {
    /// Notes who the members are, for the day on which the database cannot be read.
    pub fn note_members(&self, members: Vec<Member>) -> Result<(), StoreError> {
        roster::note(&self.dir, members)
    }

    /// Notes that this node's data differs from its peers': the directory is not opened again, and stays as evidence.
    pub fn note_diverged(&self, why: &str) -> Result<(), StoreError> {
        evidence::note_diverged(&self.dir, why)
    }
}

/// The replicated state machine: applies entries, takes and installs snapshots. One task at a time owns it.
pub struct StateMachine {
    engine: Arc<Engine>,
    applier: Applier,
    snapshots: Snapshots,
}

impl std::fmt::Debug for StateMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateMachine({:?})", self.applier.state().read().applied)
    }
}

impl StateMachine {
    pub fn state(&self) -> &SharedState {
        self.applier.state()
    }

    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// Applies committed entries, in order: one result an entry, nothing for one that has no commands. Before it, wait for
    /// [`Log::written`], so that the state never comes ahead of the log.
    pub fn apply(&mut self, entries: &[LogEntry]) -> Result<Vec<Option<Applied>>, StoreError> {
        self.applier.apply(entries)
    }

    /// Begins a snapshot of the state as it is now.
    pub async fn begin_snapshot(&self) -> Result<Build, StoreError> {
        self.snapshots.begin(&self.engine).await
    }

    /// The work of replacing the state by `snapshot`. Blocking, and long: run it off the async threads, and apply nothing
    /// before it is done.
    pub fn install(&self, snapshot: SnapshotFile) -> impl FnOnce() -> Result<(), StoreError> + Send + 'static {
        let installer = Installer {
            engine: Arc::clone(&self.engine),
            state: Arc::clone(self.applier.state()),
            snapshots: self.snapshots.clone(),
        };
        move || installer.install(&snapshot)
    }
}
