//! Nodes that can be stopped and started again, and what the tests do with them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use gantry_consensus::{Applied, Config, Consensus, Member, OpenError, ProposeError, Role, SnapshotRules, StartError};
use gantry_machine::{Command, ENTRY_VERSION, Entry, RegisterHost};
use gantry_types::HostSpec;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// How long anything may take before a test fails: far more than it ever takes on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    pub config: Config,
    pub consensus: Consensus,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Node {
    pub async fn start(config: Config) -> Self {
        let listener = bind(&config.raft_addr).await;
        Self::start_on(config, listener).await
    }

    /// With a listener that others reach by another address.
    pub async fn start_on(config: Config, listener: TcpListener) -> Self {
        let consensus = open(&config).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn({
            let consensus = consensus.clone();
            async move { consensus.serve(listener, async { drop(stopped.await) }).await.unwrap() }
        });
        Self { config, consensus, stop: Some(stop), serving }
    }

    pub fn id(&self) -> u64 {
        self.config.node_id
    }

    pub fn member(&self) -> Member {
        self.config.member()
    }

    /// Ends the node in order: it stops listening first, and its peers are told.
    pub async fn stop_in_order(self) {
        let Self { consensus, stop, serving, .. } = self;
        drop(stop);
        tokio::time::timeout(Duration::from_secs(5), serving).await.expect("serving ends when it is told to").unwrap();
        consensus.shutdown().await;
    }

    /// Ends the node, and gives what it takes to start it again. Its connections break, as those of a killed process do.
    pub async fn stop(self) -> Config {
        let Self { config, consensus, stop, serving } = self;
        serving.abort();
        drop(stop);
        consensus.shutdown().await;
        config
    }

    pub fn hash(&self) -> u128 {
        self.consensus.state().read().state_hash()
    }

    pub fn rev(&self) -> u64 {
        self.consensus.state().read().rev()
    }

    pub fn hosts(&self) -> usize {
        self.consensus.state().read().fleet.host_count()
    }

    pub fn role(&self) -> Role {
        self.consensus.role().borrow().clone()
    }

    /// Waits until this node has applied `rev`.
    pub async fn reaches(&self, rev: u64) {
        let mut applied = self.consensus.applied();
        let reached = tokio::time::timeout(PATIENCE, applied.wait_for(|applied| *applied >= rev)).await;
        reached
            .unwrap_or_else(|_| panic!("node {} stays at {}: {:?}", self.id(), self.rev(), self.consensus.status()))
            .unwrap();
    }
}

/// The port may still be in use by connections of the node that had it.
async fn bind(addr: &str) -> TcpListener {
    let start = Instant::now();
    loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => return listener,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{addr}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The tasks of a node that was stopped in this process may hold its directory for a moment longer. RocksDB sorts its own
/// log files before it asks for the lock, so the two may also get into each other's way there.
async fn open(config: &Config) -> Consensus {
    let start = Instant::now();
    loop {
        match Consensus::start(config.clone()).await {
            Ok(consensus) => return consensus,
            Err(StartError::Open(OpenError::Locked { .. } | OpenError::Unusable { .. }))
                if start.elapsed() < PATIENCE => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn config(id: u64, dir: &Path) -> Config {
    // A port that was free a moment ago.
    let free = async || TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    Config::new(id, free().await, free().await, dir.join(format!("node-{id}")))
}

/// A formed cluster of `ids`.
pub async fn cluster(ids: &[u64]) -> (TempDir, Vec<Node>) {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for id in ids {
        nodes.push(Node::start(config(*id, dir.path()).await).await);
    }
    let members = nodes.iter().map(Node::member).collect();
    nodes[0].consensus.init(members).await.unwrap();
    leader(&nodes).await;
    (dir, nodes)
}

/// Waits until one of the nodes leads and is ready, and gives its place in `nodes`.
pub async fn leader(nodes: &[Node]) -> usize {
    let start = Instant::now();
    loop {
        if let Some(at) = nodes.iter().position(|node| node.role().is_leader) {
            return at;
        }
        let roles = || nodes.iter().map(Node::role).collect::<Vec<_>>();
        assert!(start.elapsed() < PATIENCE, "nobody leads: {:?}", roles());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An entry that registers one host.
pub fn entry(number: u64) -> Entry {
    let spec = HostSpec {
        name: format!("host-{number}"),
        region: "ord".to_owned(),
        zone: "ord-1".to_owned(),
        memory_bytes: 1 << 30,
        ..HostSpec::default()
    };
    let commands = vec![Command::from(RegisterHost { spec })];
    Entry { version: ENTRY_VERSION, stamp: number, proposer: 1, proposal: number, commands }
}

pub async fn propose(node: &Node, number: u64) -> Result<Applied, ProposeError> {
    let proposed = tokio::time::timeout(PATIENCE, node.consensus.propose(entry(number))).await;
    proposed.expect("a proposal ends")
}

/// Proposes until it is acknowledged, by whoever leads. Registering the same host twice changes nothing.
pub async fn place(nodes: &[Node], number: u64) -> u64 {
    loop {
        let at = leader(nodes).await;
        if let Ok(applied) = propose(&nodes[at], number).await {
            assert!(applied.outcomes[0].is_ok());
            return applied.rev;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until all nodes have applied `rev`, and checks that they then hold the same state.
pub async fn agree(nodes: &[Node], rev: u64) {
    for node in nodes {
        node.reaches(rev).await;
    }
    let hashes: Vec<(u64, u128)> = nodes.iter().map(|node| (node.rev(), node.hash())).collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
}

/// Snapshots after few entries, and next to no log kept.
pub fn eager_snapshots() -> SnapshotRules {
    SnapshotRules {
        after_entries: 50,
        keep_entries: 5,
        look_every: Duration::from_millis(50),
        ..SnapshotRules::default()
    }
}
