//! A node's data directory, opened.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    Applied, Build, Identity, Log, LogEntry, Member, SharedState, SnapshotFile, SnapshotSource, Snapshots,
    apply::Applier,
    disk,
    error::{OpenError, StoreError},
    evidence,
    ground::{Ground, Workers},
    kv::KvEngine,
    log::{manifest, mark::Mark, recover},
    roster,
    snapshot::{self, Installer},
};

pub(crate) const MARK_GONE: &str = "it is gone, and without it nobody knows how far the log had come";

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
        Self::open_on(&Ground::default(), config)
    }

    /// As [`Store::open`], on a ground of the caller's.
    pub fn open_on(ground: &Ground, config: &StoreConfig) -> Result<Self, OpenError> {
        let on = &*ground.disk;
        let dir = &config.data_dir;
        let unusable = |error: StoreError| OpenError::Unusable { dir: dir.clone(), why: error.to_string() };
        let unreadable = |source| OpenError::Unreadable { dir: dir.clone(), source };
        disk::create_dir(on, dir).map_err(unusable)?;
        let lock = on.claim(dir)?;
        let identity = Identity::open(on, dir, &config.cluster, config.node)?;
        evidence::refuse(on, dir)?;
        let reached = Mark::look(on, dir).map_err(unreadable)?;
        if identity.cluster_id != 0 && !reached.is_there() {
            return Err(unreadable(StoreError::damaged("the mark of the log", MARK_GONE)));
        }
        manifest::check(ground.engines.manifest(dir), reached.manifest).map_err(unreadable)?;
        let engine = ground.engines.open(dir, lock)?;
        let snapshots = Snapshots::open(ground, dir).map_err(unreadable)?;
        snapshot::finish_interrupted(&*engine, &snapshots).map_err(unreadable)?;
        // Both read a lot, and neither looks at what the other reads.
        let (log, applier) =
            ground.workers.both(|| Log::open(ground, dir, Arc::clone(&engine)), || Applier::load(Arc::clone(&engine)));
        let (log, applier) = (log?, applier.map_err(unreadable)?);
        let snapshot = snapshots.current().and_then(|snapshot| snapshot.position());
        recover::check_state(&log, applier.state().read().applied, snapshot).map_err(unreadable)?;
        let machine = StateMachine { engine, applier, snapshots, workers: ground.workers };
        let owner = Owner { ground: ground.clone(), dir: dir.clone(), identity: Arc::new(Mutex::new(identity)) };
        Ok(Self { log, machine, owner })
    }
}

/// Who the directory belongs to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Owner {
    ground: Ground,
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
            joined.save(&*self.ground.disk, &self.dir)?;
            *identity = joined;
        }
        Ok(identity.cluster_id == cluster_id)
    }
}

impl Owner {
    /// Who writes without making others wait.
    pub fn workers(&self) -> Workers {
        self.ground.workers
    }

    /// Notes who the members are, for the day on which the database cannot be read.
    pub fn note_members(&self, members: Vec<Member>) -> Result<(), StoreError> {
        roster::note(&*self.ground.disk, &self.dir, members)
    }

    /// Notes that this node's data differs from its peers': the directory is not opened again, and stays as evidence.
    pub fn note_diverged(&self, why: &str) -> Result<(), StoreError> {
        evidence::note_diverged(&*self.ground.disk, &self.dir, why)
    }
}

/// The replicated state machine: applies entries, takes and installs snapshots. One task at a time owns it.
pub struct StateMachine {
    engine: Arc<dyn KvEngine>,
    applier: Applier,
    snapshots: Snapshots,
    workers: Workers,
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

    /// Who does what takes long.
    pub fn workers(&self) -> Workers {
        self.workers
    }

    pub(crate) fn engine(&self) -> Arc<dyn KvEngine> {
        Arc::clone(&self.engine)
    }

    /// Applies committed entries, in order: one result an entry, nothing for one that has no commands. Before it, wait for
    /// [`Log::written`], so that the state never comes ahead of the log.
    pub fn apply(&mut self, entries: &[LogEntry]) -> Result<Vec<Option<Applied>>, StoreError> {
        let applied = self.applier.apply(entries, Duration::MAX)?;
        Ok(applied.expect("there is no end to the wait"))
    }

    /// As [`Self::apply`], for a thread that others wait for: nothing, and nothing done, where readers hold the state for
    /// longer than `patience`. Meanwhile other readers wait.
    pub fn try_apply(
        &mut self,
        entries: &[LogEntry],
        patience: Duration,
    ) -> Result<Option<Vec<Option<Applied>>>, StoreError> {
        self.applier.apply(entries, patience)
    }

    /// Begins a snapshot of the state as it is now.
    pub async fn begin_snapshot(&self) -> Result<Build, StoreError> {
        self.snapshots.begin(&self.engine).await
    }

    /// For one that has to be begun again.
    pub fn snapshot_source(&self) -> SnapshotSource {
        SnapshotSource::new(&self.snapshots, &self.engine)
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
