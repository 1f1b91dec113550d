//! What serves the calls of one member, without the listeners in front of it.

use gantry_consensus::Consensus;
use gantry_machine::{Effect, RegisterHost};
use gantry_proto::v1::{self, placement_server::Placement};
use gantry_types::{HostId, HostSpec};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Request, Status};

use crate::{
    WallClock, agents, call::Answered, config::Limits, decider::Decider, images::Images, metrics::Metrics, node::Node,
    service::placement::PlacementService,
};

/// One member's decider and services. Its tasks end when it is dropped.
#[derive(Debug)]
pub struct Serving {
    pub(crate) node: Node,
    /// None of them ends before the node does.
    pub(crate) tasks: JoinSet<()>,
}

impl Serving {
    /// `run` tells this run's log entries from those of every other.
    pub(crate) fn begin(
        consensus: Consensus,
        limits: Limits,
        (metrics, images): (Metrics, Images),
        wall: WallClock,
        run: u64,
    ) -> Self {
        let (calls, waiting) = mpsc::channel(limits.waiting_calls);
        let node = Node::new(consensus.clone(), calls, limits, metrics, images);
        let decider = Decider::new(consensus.clone(), waiting, run, wall);
        let mut tasks = JoinSet::new();
        tasks.spawn(decider.run());
        tasks.spawn(agents::dispatch(consensus, node.agents().clone()));
        Self { node, tasks }
    }

    /// For a process that has other ways to be called than sockets.
    pub fn new(consensus: Consensus, wall: WallClock, run: u64) -> Self {
        Self::begin(consensus, Limits::default(), (Metrics::new(false), Images::default()), wall, run)
    }

    pub async fn place(&self, request: v1::PlaceRequest) -> Result<v1::PlaceResponse, Status> {
        PlacementService(self.node.clone()).place(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn release(&self, request: v1::ReleaseRequest) -> Result<v1::ReleaseResponse, Status> {
        PlacementService(self.node.clone()).release(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn get(&self, request: v1::GetRequest) -> Result<v1::GetResponse, Status> {
        PlacementService(self.node.clone()).get(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    /// Registers a host, or changes what it declares.
    pub async fn register(&self, spec: HostSpec) -> Result<HostId, Status> {
        match self.node.command(RegisterHost { spec }, None).await? {
            Answered::Did(Effect::HostRegistered { host, .. }) => Ok(host),
            other => Err(Status::internal(format!("a host was registered and {other:?} came of it"))),
        }
    }
}
