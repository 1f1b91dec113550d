//! A running node.

use std::{future::Future, sync::Arc};

use futures::FutureExt;
use gantry_store::{Commands, Identity, Log, Member, Owner, SharedState, Snapshots, Store, StoreConfig};
use gantry_types::Rev;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::AbortHandle,
};

use crate::{
    checkpoints::Checkpoints,
    compaction,
    config::{Config, raft_config},
    ending::Ending,
    error::{MembershipError, ProposeError, StartError},
    log_store::LogStore,
    machine::Machine,
    membership::Members,
    network::{self, Network, Peers},
    proposal::{ENTRY_BYTES, Proposal},
    raft_types::{Answer, Raft},
    read_index::ReadIndex,
    role::{self, Role},
    scrubbing,
    status::{self, Status},
    verify::{self, Verifier},
};

/// One member of the cluster, running in this process. Cheap to clone.
#[derive(Clone)]
pub struct Consensus {
    node: Arc<Node>,
}

struct Node {
    config: Config,
    raft: Raft,
    owner: Owner,
    state: SharedState,
    peers: Peers,
    snapshots: Snapshots,
    verifier: Verifier,
    applied: watch::Receiver<Rev>,
    role: watch::Receiver<Role>,
    stopped: watch::Receiver<Option<String>>,
    reads: ReadIndex,
    /// Ended when the node is dropped.
    tasks: Vec<AbortHandle>,
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consensus(node {}, {:?})", self.node.config.node_id, *self.node.role.borrow())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Consensus {
    /// Opens the data directory, restores the state, and takes up the part that the log says this node has. Forms no
    /// cluster and joins none: a new node waits for [`Consensus::init`], or for a leader that was told to add it.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let raft_config = raft_config(&config).map_err(|error| StartError::Config { why: error.to_string() })?;
        let StoreParts { log, machine, snapshots, owner, state } = open(&config).await?;
        let (applied_tx, applied) = watch::channel(0);
        let checkpoints = Checkpoints::new(state.read().rev());
        let scrubber = machine.scrubber();
        let machine = Machine::new(machine, log.clone(), applied_tx, checkpoints.clone());
        let peers = Peers::new(owner.clone(), snapshots.clone());
        let network = Network::new(config.node_id, peers.clone());
        let storage = LogStore::new(log.clone());
        let raft = Raft::new(config.node_id, Arc::new(raft_config), network, storage, machine).await;
        let raft = raft.map_err(|fatal| StartError::Recover { why: fatal.to_string() })?;

        let (role_tx, role) = watch::channel(Role { node_id: config.node_id, ..Role::default() });
        let (stopped_tx, stopped) = watch::channel(None);
        let ending = Ending::new(raft.clone(), owner.clone(), stopped_tx.clone());
        let verifier = Verifier {
            raft: raft.clone(),
            me: config.node_id,
            peers: peers.clone(),
            checkpoints,
            ending: ending.clone(),
        };
        let (reads, confirming) = ReadIndex::new(raft.clone(), applied.clone());
        let following = role::follow(raft.clone(), Arc::clone(&state), applied.clone(), role_tx, stopped_tx);
        let compacting = compaction::run(raft.clone(), log, snapshots.clone(), config.snapshots);
        let tasks = vec![
            tokio::spawn(confirming).abort_handle(),
            tokio::spawn(following).abort_handle(),
            tokio::spawn(compacting).abort_handle(),
            tokio::spawn(scrubbing::run(scrubber, raft.clone(), ending, config.checks)).abort_handle(),
            tokio::spawn(verify::run(verifier.clone(), role.clone(), config.checks.verify_every)).abort_handle(),
        ];
        let node =
            Node { config, raft, owner, state, peers, snapshots, verifier, applied, role, stopped, reads, tasks };
        Ok(Self { node: Arc::new(node) })
    }

    /// This node as a member.
    pub fn member(&self) -> Member {
        self.node.config.member()
    }

    /// The replicated state, as far as this node has applied the log. Hold it for microseconds: apply waits.
    pub fn state(&self) -> SharedState {
        Arc::clone(&self.node.state)
    }

    /// The last entry applied here. Changes once after each batch of entries.
    pub fn applied(&self) -> watch::Receiver<Rev> {
        self.node.applied.clone()
    }

    /// Who leads. `is_leader` is the sign to begin planning.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.node.role.clone()
    }

    /// Hands an entry to the log, in the order of calls, and returns at once; the proposal ends when the entry is applied
    /// here. Several may be under way.
    pub fn propose(&self, entry: impl Into<Commands>) -> Proposal {
        let commands = entry.into();
        let bytes = commands.bytes.len();
        if bytes > ENTRY_BYTES {
            return Proposal::refused(ProposeError::TooLarge { bytes, limit: ENTRY_BYTES });
        }
        // The last moment at which a refusal is definite.
        let leader = {
            let role = self.node.role.borrow();
            if role.is_leader { None } else { Some(role.leader.clone()) }
        };
        if let Some(leader) = leader {
            return Proposal::refused(self.stop_error().unwrap_or(ProposeError::NotLeader { leader }));
        }
        let (told, result) = oneshot::channel();
        let hand_over = self.node.raft.client_write_ff(commands, Some(Answer(told)));
        // Waits only while the queue to the core is full. Not subject to the task budget, which would make it look full.
        match tokio::task::unconstrained(hand_over).now_or_never() {
            Some(Ok(())) => Proposal::under_way(result),
            Some(Err(fatal)) => Proposal::refused(ProposeError::Stopped { why: fatal.to_string() }),
            None => Proposal::refused(ProposeError::Busy),
        }
    }

    /// A linearizable barrier: a position that includes every entry acknowledged before this call, which the local state
    /// has reached. Leadership is confirmed with a quorum after the call began; concurrent calls share a confirmation.
    pub async fn read_index(&self) -> Result<Rev, ProposeError> {
        if let Some(stopped) = self.stop_error() {
            return Err(stopped);
        }
        self.node.reads.confirm().await
    }

    /// Forms a new cluster of `members`; all of them are voters, and this node is one of them. To be called once, on one.
    pub async fn init(&self, members: Vec<Member>) -> Result<(), MembershipError> {
        self.members().init(members).await
    }

    /// Adds a member without a vote. It gets the log, or a snapshot and the log. Leader only.
    pub async fn add_learner(&self, member: Member) -> Result<(), MembershipError> {
        self.members().add_learner(member).await
    }

    /// Makes a learner that has caught up a voter. Leader only.
    pub async fn promote(&self, id: u64) -> Result<(), MembershipError> {
        self.members().promote(id).await
    }

    /// Removes a member for good: its id is never used again. A leader that removes itself steps down. Leader only.
    pub async fn remove(&self, id: u64) -> Result<(), MembershipError> {
        self.members().remove(id).await
    }

    /// Hands leadership to a voter, and returns when that leads. Leader only.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), MembershipError> {
        self.members().transfer_leader(to).await
    }

    /// Takes a snapshot now, whatever the rules say. Returns when it is asked for, not when it is written.
    pub async fn snapshot(&self) -> Result<(), ProposeError> {
        let asked = self.node.raft.trigger().snapshot().await;
        asked.map_err(|fatal| ProposeError::Stopped { why: fatal.to_string() })
    }

    /// What a backup is made of.
    pub(crate) fn for_backup(&self) -> (Snapshots, Identity) {
        (self.node.snapshots.clone(), self.node.owner.identity())
    }

    pub(crate) fn verifier(&self) -> Verifier {
        self.node.verifier.clone()
    }

    pub fn status(&self) -> Status {
        let identity = self.node.owner.identity();
        status::describe(&status::metrics(&self.node.raft), identity.cluster, identity.cluster_id)
    }

    /// Serves the members on `listener` until `shutdown`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        network::serve(self.node.raft.clone(), self.node.peers.clone(), self.verifier(), listener, shutdown).await
    }

    /// Ends when this node can no longer take part, with the reason: a failed write, damaged data, or a shutdown. A server
    /// must then end its process.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.node.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "it was shut down".to_owned(),
        }
    }

    /// Stops taking part. What is acknowledged is durable; the directory can be opened again once every clone is dropped.
    pub async fn shutdown(&self) {
        if let Err(error) = self.node.raft.shutdown().await {
            tracing::warn!(%error, "the consensus core did not end in order");
        }
    }

    fn members(&self) -> Members<'_> {
        let Node { raft, state, owner, config, .. } = &*self.node;
        Members { me: config.member(), raft, state, owner, timing: config.timing }
    }

    fn stop_error(&self) -> Option<ProposeError> {
        self.node.stopped.borrow().clone().map(|why| ProposeError::Stopped { why })
    }
}

struct StoreParts {
    log: Log,
    machine: gantry_store::StateMachine,
    snapshots: Snapshots,
    owner: Owner,
    state: SharedState,
}

async fn open(config: &Config) -> Result<StoreParts, StartError> {
    let Config { data_dir, cluster, node_id, .. } = config;
    let config = StoreConfig { data_dir: data_dir.clone(), cluster: cluster.clone(), node: *node_id };
    let opened = tokio::task::spawn_blocking(move || Store::open(&config)).await;
    let Store { log, machine, owner } = opened.map_err(|error| StartError::Recover { why: error.to_string() })??;
    let (snapshots, state) = (machine.snapshots().clone(), Arc::clone(machine.state()));
    Ok(StoreParts { log, machine, snapshots, owner, state })
}
