//! Simulated host agents over the real API: one stream a host, spread over connections to all nodes.
//!
//! An agent registers, confirms what it is granted, sends heartbeats, and registers again at another node when its stream
//! ends. While pulls are on, a grant also brings its image's missing layers into the host's cache and the agent
//! reports what came and what was evicted.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use parking_lot::{Mutex, RwLock};
use tokio::task::JoinSet;
use tonic::transport::Channel;

mod session;

use crate::{
    cache::Cache,
    catalogue::{Image, Layer, LayerNo},
    connect,
    fleet::Host,
};

/// Streams on one HTTP/2 connection. Servers commonly allow 100 or more, and a stream above that would wait for ever.
const STREAMS_PER_CONNECTION: usize = 100;
/// The first pause before an agent tries the next node; it doubles with each try that does not end in a registration.
const RECONNECT_BASE_MS: u64 = 50;
const RECONNECT_MOST_MS: u64 = 2_000;
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub struct Agents {
    shared: Arc<Shared>,
    caches: Vec<Arc<Mutex<Cache>>>,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

/// What all agents share.
#[derive(Debug)]
struct Shared {
    layers: Vec<Layer>,
    /// What each reference stands for now; agents resolve grants with it.
    images: RwLock<HashMap<String, Arc<Image>>>,
    /// Connections by node.
    connections: Vec<Vec<Channel>>,
    pulling: AtomicBool,
    registered: AtomicUsize,
    confirmed: AtomicU64,
    /// Messages sent and not yet answered.
    waiting: AtomicUsize,
    reconnects: AtomicU64,
    refused: AtomicU64,
    first_refusal: Mutex<Option<String>>,
}

/// Totals so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub registered: usize,
    pub confirmed: u64,
    pub waiting: usize,
    pub reconnects: u64,
    pub refused: u64,
}

impl Agents {
    /// Starts an agent for every host.
    pub fn start(hosts: &[Host], addrs: &[String], layers: Vec<Layer>) -> Result<Self> {
        let per_node = hosts.len().div_ceil(addrs.len()).div_ceil(STREAMS_PER_CONNECTION);
        // After a node is lost its agents move to the others: room for that.
        let per_node = per_node * 2;
        let connections = addrs
            .iter()
            .map(|addr| (0..per_node).map(|_| connect::lazily(addr)).collect())
            .collect::<Result<Vec<Vec<_>>>>()?;
        let shared = Arc::new(Shared {
            layers,
            images: RwLock::default(),
            connections,
            pulling: AtomicBool::new(true),
            registered: AtomicUsize::new(0),
            confirmed: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            reconnects: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            first_refusal: Mutex::new(None),
        });
        let caches: Vec<_> = hosts.iter().map(|host| Arc::new(Mutex::new(Cache::new(host.cache_bytes())))).collect();
        let mut tasks = JoinSet::new();
        for (at, (host, cache)) in hosts.iter().zip(&caches).enumerate() {
            let agent = Agent {
                at,
                spec: host.spec(),
                shared: Arc::clone(&shared),
                cache: Arc::clone(cache),
                running: HashMap::new(),
                report_all: false,
            };
            tasks.spawn(agent.run());
        }
        Ok(Self { shared, caches, _tasks: tasks })
    }

    /// Says what a reference stands for from now on.
    pub fn learn(&self, image: &Arc<Image>) {
        self.shared.images.write().insert(image.reference.clone(), Arc::clone(image));
    }

    /// From now on grants bring no layers: a burst is over before any of its pulls could be.
    pub fn stop_pulling(&self) {
        self.shared.pulling.store(false, Relaxed);
    }

    pub fn totals(&self) -> Totals {
        let shared = &self.shared;
        Totals {
            registered: shared.registered.load(Relaxed),
            confirmed: shared.confirmed.load(Relaxed),
            waiting: shared.waiting.load(Relaxed),
            reconnects: shared.reconnects.load(Relaxed),
            refused: shared.refused.load(Relaxed),
        }
    }

    /// The first message that the servers refused, for diagnosis.
    pub fn first_refusal(&self) -> Option<String> {
        self.shared.first_refusal.lock().clone()
    }

    /// Waits until `done` holds, calling `show` as it goes.
    pub async fn wait(
        &self,
        what: &str,
        timeout: Duration,
        done: impl Fn(Totals) -> bool,
        show: impl Fn(Totals),
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let totals = self.totals();
            show(totals);
            if done(totals) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let refusal = self.first_refusal().unwrap_or_else(|| "no message was refused".into());
                bail!("{what} not done after {} s: {totals:?}; {refusal}", timeout.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The layers in each host's cache, by host.
    pub fn caches(&self) -> Vec<Vec<LayerNo>> {
        self.caches.iter().map(|cache| cache.lock().layers().collect()).collect()
    }

    pub fn cached_bytes(&self) -> u64 {
        self.caches.iter().map(|cache| cache.lock().used_bytes()).sum()
    }
}

/// One host's agent.
struct Agent {
    at: usize,
    spec: gantry_proto::v1::HostSpec,
    shared: Arc<Shared>,
    cache: Arc<Mutex<Cache>>,
    /// Reservations that were granted and have not ended, with their fence and whether it was confirmed.
    running: HashMap<u64, Running>,
    /// A report was not answered before its stream ended: the next one tells everything.
    report_all: bool,
}

struct Running {
    fence: u64,
    confirmed: bool,
}

impl Agent {
    async fn run(mut self) {
        let mut failures = 0;
        for attempt in 0.. {
            let nodes = &self.shared.connections;
            let node = &nodes[(self.at + attempt) % nodes.len()];
            let channel = node[self.at / nodes.len() % node.len()].clone();
            // Every end is the same to an agent: go to the next node, and register there.
            let registered = self.session(channel).await;
            self.shared.reconnects.fetch_add(1, Relaxed);
            failures = if registered { 0 } else { failures + 1 };
            let most = (RECONNECT_BASE_MS << failures.min(16)).min(RECONNECT_MOST_MS);
            // A part of it that follows from the host's number: a thousand agents do not come back at the same moment.
            let pause_ms = most / 2 + most * (self.at as u64 * 37 % 100) / 100;
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}
