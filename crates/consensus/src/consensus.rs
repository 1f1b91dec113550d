//! A running node.

use std::{future::Future, path::Path, sync::Arc};

use futures::FutureExt;
use gantry_store::{
    Commands, Identity, Log, Member, OpenError, Owner, RoomWatch, SharedState, Snapshots, Store, StoreConfig,
    StoreError, Workers, watch,
};
use gantry_types::Rev;
use tokio::{net::TcpListener, sync::oneshot, task::AbortHandle};
use tonic::service::Routes;

use crate::{
    care::{self, DiskCare},
    changes::Changes,
    checkpoints::Checkpoints,
    compaction,
    config::{Config, raft_config},
    ending::Ending,
    error::{MembershipError, ProposeError, StartError},
    handover::Handover,
    hold::Holding,
    log_store::LogStore,
    machine::Machine,
    membership::Members,
    network::{self, Network, Peers},
    proposal::{ENTRY_BYTES, Proposal},
    raft_types::{Answer, Raft},
    read_index::ReadIndex,
    role::{self, Role, Sight},
    room::Shortage,
    status::{self, Status},
    verify::Verifier,
};

/// One member of the cluster, running in this process. Cheap to clone.
#[derive(Clone)]
pub struct Consensus {
    node: Arc<Node>,
}

struct Node {
    config: Config,
    raft: Raft,
    log: Log,
    owner: Owner,
    state: SharedState,
    peers: Peers,
    snapshots: Snapshots,
    verifier: Verifier,
    applied: watch::Receiver<Rev>,
    role: watch::Receiver<Role>,
    stopped: watch::Receiver<Option<String>>,
    reads: ReadIndex,
    holding: Holding,
    shortage: watch::Receiver<Option<Shortage>>,
    members: Members,
    changes: Changes,
    handovers: Changes,
    /// Ended when the node is dropped.
    tasks: Vec<AbortHandle>,
    /// Dropped with the node, which whoever answers for it sees.
    ended: watch::Sender<bool>,
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
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let raft_config = raft_config(&config).map_err(|error| StartError::Config { why: error.to_string() })?;
        let StoreParts { log, machine, snapshots, owner, state, disk_care } = open(&mut config).await?;
        let (applied_tx, applied) = watch::channel(0);
        let checkpoints = Checkpoints::new(state.read().rev());
        let scrubber = machine.scrubber();
        let machine = Machine::new(machine, log.clone(), applied_tx, checkpoints.clone());
        let (transport, disks) = (Arc::clone(&config.transport), disk_care.disks.clone());
        let peers = Peers::new(owner.clone(), snapshots.clone(), transport, disks, Arc::clone(&state));
        let network = Network::new(config.node_id, peers.clone(), log.clone(), config.snapshots.send_bytes_per_second);
        let raft = Raft::new(config.node_id, Arc::new(raft_config), network, LogStore::new(log.clone()), machine).await;
        let raft = raft.map_err(|fatal| StartError::Recover { why: fatal.to_string() })?;

        let (role_tx, role) = watch::channel(Role { node_id: config.node_id, ..Role::default() });
        let (stopped_tx, stopped) = watch::channel(None);
        let ending = Ending::new(raft.clone(), owner.clone(), stopped_tx.clone());
        let verifier = Verifier::new(raft.clone(), config.node_id, peers.clone(), checkpoints, ending.clone());
        let caring = care::begin(scrubber, &verifier, owner.clone(), role.clone(), config.checks);
        let (reads, confirming) = ReadIndex::new(raft.clone(), applied.clone());
        let (holding, changes) = (Holding::new(), Changes::default());
        let sight = Sight {
            raft: raft.clone(),
            state: Arc::clone(&state),
            applied: applied.clone(),
            holding: holding.clone(),
            timing: config.timing,
            elected: None,
        };
        let following = role::follow(sight, role_tx, stopped_tx);
        let members = Members::new(config.member(), &raft, &state, &owner, &peers);
        let completing = changes.clone().complete(members.clone());
        let handovers = Changes::default();
        let holds = (holding.clone(), handovers.clone());
        let (watching, shortage) = disk_care.begin(raft.clone(), holds, config.timing, ending);
        let compacting = compaction::run(raft.clone(), log.clone(), snapshots.clone(), config.snapshots);
        let tasks = [
            tokio::spawn(confirming).abort_handle(),
            tokio::spawn(following).abort_handle(),
            tokio::spawn(compacting).abort_handle(),
            tokio::spawn(completing).abort_handle(),
        ];
        let tasks = tasks.into_iter().chain(caring).chain(watching).collect();
        let node = Node {
            config,
            raft,
            log,
            owner,
            state,
            peers,
            snapshots,
            verifier,
            applied,
            role,
            stopped,
            reads,
            holding,
            shortage,
            members,
            changes,
            handovers,
            tasks,
            ended: watch::Sender::new(false),
        };
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

    /// What this leader is short of on disks, where it is: then it had better take nothing on that makes the state larger.
    pub fn shortage(&self) -> Option<Shortage> {
        self.node.shortage.borrow().clone()
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
        let proposed = self.node.holding.unless_held(|| self.propose_if_leader(commands));
        proposed.unwrap_or_else(|| Proposal::refused(self.not_leader()))
    }

    fn propose_if_leader(&self, commands: Commands) -> Proposal {
        if !self.node.role.borrow().is_leader {
            return Proposal::refused(self.not_leader());
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

    fn not_leader(&self) -> ProposeError {
        let leader = self.node.role.borrow().leader.clone();
        self.stop_error().unwrap_or(ProposeError::NotLeader { leader })
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
        let this = self.node.members.clone();
        self.node.changes.run(async move { this.init(members).await }).await
    }

    /// An id for a new node, that no node has or ever had. Leader only.
    pub async fn new_id(&self) -> Result<u64, MembershipError> {
        self.node.members.new_id().await
    }

    /// Refuses a member that cannot be added, as [`Self::add_learner`] does, and asks nobody. True where it is one already.
    pub fn may_add(&self, member: &Member) -> Result<bool, MembershipError> {
        self.node.members.may_add(member)
    }

    /// Adds a member without a vote, once it has answered and said who it is. It gets the log, or a snapshot and the log.
    /// Leader only.
    pub async fn add_learner(&self, member: Member) -> Result<(), MembershipError> {
        let this = self.node.members.clone();
        self.node.changes.run(async move { this.add_learner(member).await }).await
    }

    /// Makes a learner a voter, once it has caught up. Leader only.
    pub async fn promote(&self, id: u64) -> Result<(), MembershipError> {
        let this = self.node.members.clone();
        this.wait_until_caught_up(id).await?;
        self.node.changes.run(async move { this.promote(id).await }).await
    }

    /// Removes a member for good: its id is never used again. A leader that removes itself steps down. Refused where too
    /// few of those who are left answer. Leader only.
    pub async fn remove(&self, id: u64) -> Result<(), MembershipError> {
        let this = self.node.members.clone();
        self.node.changes.run(async move { this.remove(id).await }).await
    }

    /// Puts the learner `new` in the place of the voter `old`, once it has caught up. Leader only.
    pub async fn replace(&self, old: u64, new: u64) -> Result<(), MembershipError> {
        let this = self.node.members.clone();
        this.wait_until_caught_up(new).await?;
        self.node.changes.run(async move { this.replace(old, new).await }).await
    }

    /// Notes that a member is reached elsewhere from now on; it must answer there. Leader only.
    pub async fn move_member(&self, member: Member) -> Result<(), MembershipError> {
        let this = self.node.members.clone();
        self.node.changes.run(async move { this.move_member(member).await }).await
    }

    /// Hands leadership to `to`, or to the voter that is furthest ahead, and returns who leads when another does. What is
    /// under way is finished first; nothing is taken on meanwhile. Leader only.
    pub async fn hand_over(&self, to: Option<u64>) -> Result<u64, MembershipError> {
        let node = &self.node;
        let seen = status::metrics(&node.raft);
        if let Some(leader) = seen.current_leader.filter(|leader| to == Some(*leader)) {
            return Ok(leader);
        }
        if !seen.state.is_leader() {
            return Err(MembershipError::NotLeader { leader: node.members.leader() });
        }
        let handover = Handover { raft: node.raft.clone(), holding: node.holding.clone(), timing: node.config.timing };
        node.handovers.run(handover.run(to)).await
    }

    /// Takes a snapshot now, whatever the rules say. Returns when it is asked for, not when it is written.
    pub async fn snapshot(&self) -> Result<(), ProposeError> {
        let asked = self.node.raft.trigger().snapshot().await;
        asked.map_err(|fatal| ProposeError::Stopped { why: fatal.to_string() })
    }

    /// The log, for those who only look.
    pub fn log(&self) -> Log {
        self.node.log.clone()
    }

    /// Who does what takes long.
    pub fn workers(&self) -> Workers {
        self.node.log.workers()
    }

    /// What a backup is made of.
    pub(crate) fn for_backup(&self) -> (Snapshots, Identity) {
        (self.node.snapshots.clone(), self.node.owner.identity())
    }

    pub(crate) fn verifier(&self) -> Verifier {
        self.node.verifier.clone()
    }

    /// True where this node lost its data once, and came back under another id than its config names.
    pub fn is_reborn(&self) -> bool {
        self.node.owner.identity().is_reborn()
    }

    /// The id of the cluster that this node belongs to; 0 while it belongs to none.
    pub fn cluster_id(&self) -> u64 {
        self.node.owner.identity().cluster_id
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
        let Node { raft, log, peers, .. } = &*self.node;
        network::serve(raft.clone(), log.clone(), peers.clone(), self.verifier(), listener, shutdown).await
    }

    /// What answers the members, for a transport that is no socket. Ends with this node.
    pub fn peer_routes(&self) -> Routes {
        let stopping = self.node.ended.subscribe();
        let Node { raft, log, peers, .. } = &*self.node;
        network::routes(raft.clone(), log.clone(), peers.clone(), self.verifier(), stopping)
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

    #[cfg(test)]
    pub(crate) fn raft(&self) -> Raft {
        self.node.raft.clone()
    }

    #[cfg(test)]
    pub(crate) fn holding(&self) -> Holding {
        self.node.holding.clone()
    }

    fn stop_error(&self) -> Option<ProposeError> {
        self.node.stopped.borrow().clone().map(|why| ProposeError::Stopped { why })
    }
}

/// The id of the node that a data directory belongs to, where it belongs to one.
pub fn owner_of(data_dir: &Path) -> Result<Option<u64>, StartError> {
    Ok(Identity::read(data_dir)?.map(|identity| identity.node))
}

struct StoreParts {
    log: Log,
    machine: gantry_store::StateMachine,
    snapshots: Snapshots,
    owner: Owner,
    state: SharedState,
    disk_care: DiskCare,
}

async fn open(config: &mut Config) -> Result<StoreParts, StartError> {
    let Config { data_dir, cluster, node_id, .. } = &*config;
    let store = StoreConfig { data_dir: data_dir.clone(), cluster: cluster.clone(), node: *node_id };
    let (ground, rules) = (config.ground.clone(), config.room);
    let workers = ground.workers;
    let opened = workers.run(move || {
        let opened = Store::open_on(&ground, &store)?;
        let unusable = |error: StoreError| OpenError::Unusable { dir: store.data_dir.clone(), why: error.to_string() };
        let mut room = RoomWatch::open_on(&ground, &store.data_dir, rules).map_err(unusable)?;
        let seen = room.look().map_err(unusable)?;
        opened.machine.snapshots().keep_free(room.reserve_bytes());
        Ok::<_, OpenError>((opened, room, seen))
    });
    let (Store { log, machine, owner }, room, room_seen) =
        opened.await.map_err(|error| StartError::Recover { why: error.to_string() })??;
    // The config may still name the id of the node's first life.
    config.node_id = owner.identity().node;
    let (snapshots, state) = (machine.snapshots().clone(), Arc::clone(machine.state()));
    let disk_care = DiskCare::new(log.clone(), room, room_seen);
    Ok(StoreParts { log, machine, snapshots, owner, state, disk_care })
}
