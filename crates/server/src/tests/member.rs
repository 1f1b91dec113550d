//! A member in this process.

use std::time::Duration;

use gantry_consensus::Consensus;
use gantry_proto::v1::{
    self, agent_event::Event, agent_message::Message, cluster_client::ClusterClient, fleet_client::FleetClient,
    placement_client::PlacementClient, volumes_client::VolumesClient, watch_client::WatchClient,
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    WallClock,
    config::Limits,
    decider::Decider,
    images::Images,
    metrics::Metrics,
    node::Node,
    run::{Listeners, serve},
};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Member {
    pub(crate) consensus: Consensus,
    pub(crate) metrics_addr: String,
    pub(crate) client_addr: String,
    pub(crate) channel: Channel,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<anyhow::Result<()>>,
    _dir: TempDir,
}

impl Member {
    /// A cluster of one, which leads itself.
    pub(crate) async fn start() -> Self {
        Self::start_asking(Images::default()).await
    }

    /// The same, that asks registries.
    pub(crate) async fn start_asking(images: Images) -> Self {
        let member = Self::begin(1, images, None).await;
        member.init(vec![member.consensus.member()]).await;
        member.leads().await;
        member
    }

    /// The same, that gives up hosts whose agents are silent for so long.
    pub(crate) async fn start_watching(silence: Duration) -> Self {
        let member = Self::begin(1, Images::default(), Some(silence)).await;
        member.init(vec![member.consensus.member()]).await;
        member.leads().await;
        member
    }

    /// A member of no cluster.
    pub(crate) async fn alone(id: u64) -> Self {
        Self::begin(id, Images::default(), None).await
    }

    async fn begin(id: u64, images: Images, silence: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (raft, client, metrics) = (bind().await.unwrap(), bind().await.unwrap(), bind().await.unwrap());
        let [raft_addr, client_addr, metrics_addr] =
            [&raft, &client, &metrics].map(|listener| listener.local_addr().unwrap().to_string());
        let uri = format!("http://{client_addr}");
        let config = gantry_consensus::Config::new(id, raft_addr, client_addr.clone(), dir.path().to_owned());
        let consensus = Consensus::start(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let listeners = Listeners { raft, client, metrics: Some(metrics) };
        let serving = tokio::spawn(serve(
            consensus.clone(),
            (Limits::default(), silence),
            (Metrics::new(true), images),
            listeners,
            shutdown,
        ));
        let channel = Endpoint::from_shared(uri).unwrap().connect_lazy();
        Self { consensus, metrics_addr, client_addr, channel, stop, serving, _dir: dir }
    }

    pub(crate) async fn init(&self, members: Vec<gantry_consensus::Member>) {
        self.consensus.init(members).await.unwrap();
    }

    pub(crate) async fn leads(&self) {
        let mut role = self.consensus.role();
        tokio::time::timeout(PATIENCE, role.wait_for(|role| role.is_leader)).await.unwrap().unwrap();
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.serving.await.unwrap().unwrap();
    }

    /// A node on this member's state, with other limits, whose calls nobody decides.
    pub(crate) fn node_with(&self, limits: Limits) -> Node {
        let (calls, _) = mpsc::channel(1);
        Node::new(self.consensus.clone(), calls, limits, Metrics::new(false), Images::default())
    }

    /// A node on this member's state with a decider of its own.
    pub(crate) fn deciding_node(&self) -> Node {
        let (calls, waiting) = mpsc::channel(1_024);
        tokio::spawn(Decider::new(self.consensus.clone(), waiting, 7, WallClock::system()).run());
        Node::new(self.consensus.clone(), calls, Limits::default(), Metrics::new(false), Images::default())
    }

    pub(crate) fn placement(&self) -> PlacementClient<Channel> {
        PlacementClient::new(self.channel.clone())
    }

    pub(crate) fn volumes(&self) -> VolumesClient<Channel> {
        VolumesClient::new(self.channel.clone())
    }

    pub(crate) fn fleet(&self) -> FleetClient<Channel> {
        FleetClient::new(self.channel.clone())
    }

    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(crate) fn watcher(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    /// Registers hosts of eight GPUs: `host-0` and so on. The streams stay open as long as their agents live.
    pub(crate) async fn hosts(&self, count: usize) -> Vec<Agent> {
        let mut agents = Vec::new();
        for number in 0..count {
            let mut agent = Agent::connect(self).await;
            agent.tell(Message::Register(host(&format!("host-{number}")))).await.unwrap();
            agents.push(agent);
        }
        agents
    }
}

/// An agent's end of its stream.
pub(crate) struct Agent {
    pub(crate) out: mpsc::Sender<v1::AgentMessage>,
    pub(crate) events: Streaming<v1::AgentEvent>,
    seq: u64,
}

impl Agent {
    pub(crate) async fn connect(member: &Member) -> Self {
        let (out, messages) = mpsc::channel(16);
        let events = member.fleet().agent(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { out, events, seq: 0 }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.seq += 1;
        self.out.send(v1::AgentMessage { seq: self.seq, message: Some(message) }).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Event>, tonic::Status> {
        let event = tokio::time::timeout(PATIENCE, self.events.message()).await.unwrap()?;
        Ok(event.and_then(|event| event.event))
    }

    /// Sends a message and waits for its answer; passes over news.
    pub(crate) async fn tell(&mut self, message: Message) -> Result<v1::Done, v1::Failed> {
        self.send(message).await;
        loop {
            match self.next().await.unwrap().unwrap() {
                Event::Done(done) if done.seq == self.seq => return Ok(done),
                Event::Failed(failed) if failed.seq == self.seq => return Err(failed),
                _ => {}
            }
        }
    }
}

pub(crate) fn host(name: &str) -> v1::HostSpec {
    let device = |index| v1::Device { index, kind: "H100".to_owned(), memory_bytes: 80 << 30, ..v1::Device::default() };
    v1::HostSpec {
        name: name.to_owned(),
        region: "ams".to_owned(),
        zone: "ams-1".to_owned(),
        cpu_shared_milli: 64_000,
        cpu_overcommit_percent: 100,
        memory_bytes: 512 << 30,
        volume_bytes: 1 << 40,
        devices: (0..8).map(device).collect(),
        ..v1::HostSpec::default()
    }
}

/// Machines of one whole GPU.
pub(crate) fn place(request_id: &str, count: u32) -> v1::PlaceRequest {
    let gpu = v1::GpuShape { kinds: Vec::new(), count: 1, milli: 1_000, ..v1::GpuShape::default() };
    v1::PlaceRequest {
        request_id: request_id.to_owned(),
        app: "app".to_owned(),
        shape: Some(v1::Shape { cpu_milli: 1_000, memory_bytes: 1 << 30, gpu: Some(gpu), ..v1::Shape::default() }),
        count,
        lease_ms: 600_000,
        ..v1::PlaceRequest::default()
    }
}
