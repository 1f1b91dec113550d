//! Who this node is towards its peers, and its connections to them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use gantry_store::{Owner, Snapshots};
use parking_lot::Mutex;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{
    ANSWER_TIMEOUT, CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, KEEPALIVE, KEEPALIVE_TIMEOUT, MESSAGE_BYTES,
    STREAM_WINDOW_BYTES,
};
use crate::wire::proto::{GreetRequest, Peer, raft_client::RaftClient};

/// What a connection is for. Each use has its own, so that bulk never delays a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Append,
    Heartbeat,
    Snapshot,
    Greeting,
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
    /// Connections are made when they are first used, and made again when they break. One for each address that was ever
    /// a member's.
    channels: Mutex<HashMap<(String, Purpose), Channel>>,
    /// Where members are reached, by id, as of the newest membership that this node knows.
    addresses: Mutex<BTreeMap<u64, String>>,
}

impl Peers {
    pub(crate) fn new(owner: Owner, snapshots: Snapshots) -> Self {
        let (channels, addresses) = (Mutex::new(HashMap::new()), Mutex::new(BTreeMap::new()));
        Self { shared: Arc::new(Shared { owner, snapshots, channels, addresses }) }
    }

    /// Notes where members are reached from now on. A connection that stands is left alone.
    pub(crate) fn note_addresses(&self, addresses: impl IntoIterator<Item = (u64, String)>) {
        self.shared.addresses.lock().extend(addresses);
    }

    pub(super) fn address(&self, of: u64) -> Option<String> {
        self.shared.addresses.lock().get(&of).cloned()
    }

    pub(super) fn snapshots(&self) -> &Snapshots {
        &self.shared.snapshots
    }

    /// How this node introduces itself to `to`.
    pub(super) fn introduce(&self, to: u64) -> Peer {
        let identity = self.shared.owner.identity();
        Peer { cluster: identity.cluster, cluster_id: identity.cluster_id, from: identity.node, to }
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
        Ok(peer)
    }

    /// Checks that it was `from` who answered.
    pub(super) fn check_answer(&self, peer: Option<&Peer>, from: u64) -> Result<(), Status> {
        let me = self.shared.owner.identity();
        let meant = peer.is_some_and(|peer| (peer.from, peer.to, peer.cluster_id) == (from, me.node, me.cluster_id));
        if meant { Ok(()) } else { Err(Status::failed_precondition(format!("it was not node {from} who answered"))) }
    }

    /// Asks who is at `addr`: it must be node `id`, of this cluster, or `or_new`. Nothing changes, here or there.
    pub(crate) async fn greet(&self, id: u64, addr: &str, or_new: bool) -> Result<(), String> {
        let unreachable = |why: String| format!("node {id} cannot be reached at {addr}: {why}: is it running there?");
        let mut client = self.client(addr, Purpose::Greeting).map_err(|error| unreachable(error.to_string()))?;
        let call = client.greet(GreetRequest { peer: Some(self.introduce(id)) });
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
            Ok(Ok(answer)) => answer.into_inner().peer.unwrap_or_default(),
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => {
                return Err(format!("whoever answers at {addr} is not to be node {id}: {}", status.message()));
            }
            Ok(Err(status)) => return Err(unreachable(status.message().to_owned())),
            Err(_) => return Err(unreachable(format!("no answer in {} s", ANSWER_TIMEOUT.as_secs()))),
        };
        let me = self.shared.owner.identity();
        let known = answer.cluster_id == me.cluster_id || (or_new && answer.cluster_id == 0);
        if (answer.from, answer.to) != (id, me.node) || answer.cluster != me.cluster || !known {
            return Err(format!("whoever answers at {addr} is not node {id} of this cluster"));
        }
        Ok(())
    }

    pub(super) fn client(&self, addr: &str, purpose: Purpose) -> Result<RaftClient<Channel>, tonic::transport::Error> {
        let mut channels = self.shared.channels.lock();
        let key = (addr.to_owned(), purpose);
        let channel = match channels.get(&key) {
            Some(channel) => channel.clone(),
            None => channels.entry(key).or_insert(connect(addr)?).clone(),
        };
        let client = RaftClient::new(channel);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES))
    }
}

pub(super) fn connect(addr: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_lazy())
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
    use gantry_store::{Store, StoreConfig};

    use super::*;

    #[tokio::test]
    async fn only_those_meant_are_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { data_dir: dir.path().to_owned(), cluster: "north".to_owned(), node: 2 };
        let store = Store::open(&config).unwrap();
        let peers = Peers::new(store.owner.clone(), store.machine.snapshots().clone());
        let caller = |cluster: &str, cluster_id, from, to| {
            peers
                .admit(Some(Peer { cluster: cluster.to_owned(), cluster_id, from, to }))
                .map_err(|status| status.message().to_owned())
        };
        assert!(caller("north", 7, 1, 3).unwrap_err().contains("this is node 2, not node 3"));
        assert!(caller("south", 7, 1, 2).unwrap_err().contains("cluster \"north\""));
        assert!(caller("north", 0, 1, 2).is_err());
        assert!(caller("north", 7, 2, 2).unwrap_err().contains("calls itself"));
        assert_eq!(store.owner.identity().cluster_id, 0, "a refused caller leaves no trace");
        assert_eq!(caller("north", 7, 1, 2), Ok(1));
        assert_eq!(store.owner.identity().cluster_id, 7, "the first caller's cluster is joined");
        assert!(caller("north", 8, 1, 2).is_err(), "and no other one");

        let answer = peers.introduce(1);
        let answered = |from| Peer { from, to: 2, ..answer.clone() };
        assert!(peers.check_answer(Some(&answered(1)), 1).is_ok());
        assert!(peers.check_answer(Some(&answered(3)), 1).is_err());
        assert!(peers.check_answer(None, 1).is_err());
    }
}
