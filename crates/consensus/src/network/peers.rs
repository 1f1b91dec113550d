//! Who this node is towards its peers, and its connections to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gantry_store::{Owner, SharedState, Snapshots, Workers};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Code, Status, codegen::StdError};

use super::{ANSWER_TIMEOUT, Link, MESSAGE_BYTES, Transport};
use crate::{
    disks::Disks,
    wire::proto::{GreetRequest, Peer, raft_client::RaftClient},
};

/// Entries that a cluster logs while its first members find each other. Later, all of them have.
const FOUNDING: u64 = 16;

/// How long a node that is greeted may take to start, and how long until it is greeted again.
const STARTS_WITHIN: Duration = Duration::from_secs(5);
const STARTS_AGAIN: Duration = Duration::from_millis(100);

/// Why a node is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotMet {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    SomebodyElse(String),
}

/// What a connection is for. Each use has its own, so that bulk never delays a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    Append,
    Heartbeat,
    Snapshot,
}

/// This node among its peers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    owner: Owner,
    snapshots: Snapshots,
    transport: Arc<dyn Transport>,
    disks: Disks,
    /// Connections are made when they are first used, and made again when they break. One for each address that was ever
    /// a member's.
    channels: Mutex<BTreeMap<(String, Purpose), Link>>,
    /// Where members are reached, by id, as of the newest membership that this node knows.
    addresses: Mutex<BTreeMap<u64, String>>,
    /// Who votes by that, committed or not.
    voters: Mutex<BTreeSet<u64>>,
    state: SharedState,
    /// Somebody was told that this node's directory lacks what it had.
    is_forgetful: AtomicBool,
}

impl Peers {
    pub(crate) fn new(
        owner: Owner,
        snapshots: Snapshots,
        transport: Arc<dyn Transport>,
        disks: Disks,
        state: SharedState,
    ) -> Self {
        let (channels, addresses, voters) = (Mutex::default(), Mutex::default(), Mutex::default());
        let is_forgetful = AtomicBool::new(false);
        let shared = Shared { owner, snapshots, transport, disks, channels, addresses, voters, state, is_forgetful };
        Self { shared: Arc::new(shared) }
    }

    /// Notes where members are reached from now on. A connection that stands is left alone.
    pub(crate) fn note_addresses(&self, addresses: impl IntoIterator<Item = (u64, String)>) {
        self.shared.addresses.lock().extend(addresses);
    }

    /// Notes who votes by the newest membership that this node knows.
    pub(crate) fn note_voters(&self, voters: BTreeSet<u64>) {
        *self.shared.voters.lock() = voters;
    }

    pub(super) fn address(&self, of: u64) -> Option<String> {
        self.shared.addresses.lock().get(&of).cloned()
    }

    pub(super) fn disks(&self) -> &Disks {
        &self.shared.disks
    }

    pub(super) fn snapshots(&self) -> &Snapshots {
        &self.shared.snapshots
    }

    pub(super) fn workers(&self) -> Workers {
        self.shared.snapshots.workers()
    }

    /// A connection of the caller's own.
    pub(super) fn connect(&self, addr: &str) -> Result<Link, StdError> {
        self.shared.transport.connect(addr)
    }

    /// How this node introduces itself to `to`.
    pub(super) fn introduce(&self, to: u64) -> Peer {
        let identity = self.shared.owner.identity();
        let has_vote = self.has_vote(to);
        Peer { cluster: identity.cluster, cluster_id: identity.cluster_id, from: identity.node, to, has_vote }
    }

    /// Whether `id` votes by what this node has applied, or by what is in its log behind that, and enough is applied that `id`
    /// must know of it. Who was made a voter had answered as a member before.
    fn has_vote(&self, id: u64) -> bool {
        let state = self.shared.state.read();
        let applied = || state.membership.configs.iter().any(|voters| voters.ids.contains(&id));
        state.rev() > FOUNDING && (applied() || self.shared.voters.lock().contains(&id))
    }

    /// Checks who calls, and whom. A node that is not yet part of a cluster becomes part of the caller's.
    pub(super) fn admit(&self, peer: Option<Peer>) -> Result<u64, Status> {
        let peer = self.recognise(peer)?;
        match self.shared.owner.join(peer.cluster_id) {
            Ok(true) => Ok(peer.from),
            Ok(false) => Err(other_cluster(&self.shared.owner.identity().cluster, &peer.cluster)),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    /// Checks who calls, and whom, and changes nothing.
    pub(super) fn recognise(&self, peer: Option<Peer>) -> Result<Peer, Status> {
        let peer = peer.ok_or_else(|| Status::invalid_argument("the caller does not say who it is"))?;
        let me = self.shared.owner.identity();
        if peer.to != me.node {
            let why = format!("this is node {}, not node {}: check the members' raft addresses", me.node, peer.to);
            return Err(Status::failed_precondition(why));
        }
        if peer.from == me.node {
            return Err(Status::failed_precondition(format!("node {} calls itself: two nodes have its id", me.node)));
        }
        if peer.cluster != me.cluster || peer.cluster_id == 0 {
            return Err(other_cluster(&me.cluster, &peer.cluster));
        }
        if me.cluster_id != 0 && me.cluster_id != peer.cluster_id {
            return Err(other_cluster(&me.cluster, &peer.cluster));
        }
        if me.cluster_id == 0 && peer.has_vote {
            return Err(self.forgetful(me.node));
        }
        Ok(peer)
    }

    /// A voter whose directory is empty would vote for a leader that lacks what it had acknowledged itself.
    fn forgetful(&self, node: u64) -> Status {
        let why = format!(
            "node {node} has a vote in this cluster, and its directory is empty, so it takes no part: mount what it had, or \
             remove it and start it with --join and without a node_id"
        );
        if !self.shared.is_forgetful.swap(true, Relaxed) {
            tracing::error!("{why}");
        }
        Status::failed_precondition(why)
    }

    /// Checks that it was `from` who answered.
    pub(super) fn check_answer(&self, peer: Option<&Peer>, from: u64) -> Result<(), Status> {
        let me = self.shared.owner.identity();
        let meant = peer.is_some_and(|peer| (peer.from, peer.to, peer.cluster_id) == (from, me.node, me.cluster_id));
        if meant { Ok(()) } else { Err(Status::failed_precondition(format!("it was not node {from} who answered"))) }
    }

    /// Asks who is at `addr`: it must be node `id`, of this cluster, or `or_new`. Nothing changes, here or there. A connection
    /// that stands may lead to whoever was there before, so this makes one of its own.
    pub(crate) async fn greet(&self, id: u64, addr: &str, or_new: bool) -> Result<(), NotMet> {
        let unreachable = |why: String| {
            NotMet::Unreachable(format!("node {id} cannot be reached at {addr}: {why}: is it running there?"))
        };
        let mut client = RaftClient::new(self.connect(addr).map_err(|error| unreachable(error.to_string()))?);
        let call = client.greet(GreetRequest { peer: Some(self.introduce(id)) });
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
            Ok(Ok(answer)) => answer.into_inner().peer.unwrap_or_default(),
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => {
                let why = format!("whoever answers at {addr} is not to be node {id}: {}", status.message());
                return Err(NotMet::SomebodyElse(why));
            }
            Ok(Err(status)) => return Err(unreachable(status.message().to_owned())),
            Err(_) => return Err(unreachable(format!("no answer in {} s", ANSWER_TIMEOUT.as_secs()))),
        };
        let me = self.shared.owner.identity();
        let known = answer.cluster_id == me.cluster_id || (or_new && answer.cluster_id == 0);
        if (answer.from, answer.to) != (id, me.node) || answer.cluster != me.cluster || !known {
            return Err(NotMet::SomebodyElse(format!("whoever answers at {addr} is not node {id} of this cluster")));
        }
        Ok(())
    }

    /// As [`Self::greet`]; one that has only just been started may take its time to listen.
    pub(crate) async fn meet(&self, id: u64, addr: &str) -> Result<(), NotMet> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            match self.greet(id, addr, false).await {
                Err(NotMet::Unreachable(_)) if Instant::now() < deadline => tokio::time::sleep(STARTS_AGAIN).await,
                met => return met,
            }
        }
    }

    pub(super) fn client(&self, addr: &str, purpose: Purpose) -> Result<RaftClient<Link>, StdError> {
        let mut channels = self.shared.channels.lock();
        let key = (addr.to_owned(), purpose);
        let channel = match channels.get(&key) {
            Some(channel) => channel.clone(),
            None => channels.entry(key).or_insert(self.connect(addr)?).clone(),
        };
        let client = RaftClient::new(channel);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES))
    }
}

fn other_cluster(mine: &str, theirs: &str) -> Status {
    let why = if mine == theirs {
        format!("this node belongs to another cluster that is also named {mine:?}")
    } else {
        format!("this node belongs to cluster {mine:?}, not to the caller's {theirs:?}")
    };
    Status::failed_precondition(why)
}

#[cfg(test)]
mod tests {
    use gantry_store::{LogPos, Store, StoreConfig};

    use super::{super::Tcp, *};

    #[tokio::test]
    async fn only_those_meant_are_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { data_dir: dir.path().to_owned(), cluster: "north".to_owned(), node: 2 };
        let store = Store::open(&config).unwrap();
        let (snapshots, state) = (store.machine.snapshots().clone(), store.machine.state().clone());
        let disks = Disks::fake(Default::default());
        let peers = Peers::new(store.owner.clone(), snapshots, Arc::new(Tcp), disks, state);
        let caller = |cluster: &str, cluster_id, from, to| {
            peers
                .admit(Some(Peer { cluster: cluster.to_owned(), cluster_id, from, to, has_vote: false }))
                .map_err(|status| status.message().to_owned())
        };
        let voter = Peer { cluster: "north".to_owned(), cluster_id: 7, from: 1, to: 2, has_vote: true };
        let refused = peers.admit(Some(voter.clone())).unwrap_err();
        assert!(refused.message().contains("its directory is empty"), "{refused:?}");
        assert!(caller("north", 7, 1, 3).unwrap_err().contains("this is node 2, not node 3"));
        assert!(caller("south", 7, 1, 2).unwrap_err().contains("cluster \"north\""));
        assert!(caller("north", 0, 1, 2).is_err());
        assert!(caller("north", 7, 2, 2).unwrap_err().contains("calls itself"));
        assert_eq!(store.owner.identity().cluster_id, 0, "a refused caller leaves no trace");
        assert_eq!(caller("north", 7, 1, 2), Ok(1));
        assert_eq!(store.owner.identity().cluster_id, 7, "the first caller's cluster is joined");
        assert!(caller("north", 8, 1, 2).is_err(), "and no other one");
        assert!(peers.admit(Some(voter)).is_ok(), "a member that is one has a vote like others");

        store.machine.state().write().applied = Some(LogPos::new(1, 2, FOUNDING + 1));
        assert!(!peers.introduce(3).has_vote);
        peers.note_voters(BTreeSet::from([2, 3]));
        assert!(peers.introduce(3).has_vote, "what is in the log counts before it is applied");
        peers.note_voters(BTreeSet::from([2]));
        assert!(!peers.introduce(3).has_vote);

        let answer = peers.introduce(1);
        let answered = |from| Peer { from, to: 2, ..answer.clone() };
        assert!(peers.check_answer(Some(&answered(1)), 1).is_ok());
        assert!(peers.check_answer(Some(&answered(3)), 1).is_err());
        assert!(peers.check_answer(None, 1).is_err());
    }
}
