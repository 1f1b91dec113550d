//! What the black-box tests share: a cluster of processes with a small fleet.

use std::path::Path;

use gantry_bench::{
    cluster::Cluster,
    fleet::{self, Host},
};
use gantry_client::v1::{self, agent_event::Event, agent_message::Message};
use tokio::sync::mpsc;
use tonic::Streaming;

const MESSAGES_WAITING: usize = 16;

/// The program under test.
pub fn gantry() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gantry"))
}

pub async fn start() -> Cluster {
    // In the target directory: this user's own, and on a disk, so that what is synced is.
    Cluster::start(gantry(), Path::new(env!("CARGO_TARGET_TMPDIR"))).await.expect("three servers form a cluster")
}

/// Equal hosts of eight GPUs.
pub struct Fleet {
    pub hosts: Vec<Host>,
}

impl Fleet {
    pub async fn register(cluster: &Cluster, count: usize) -> Self {
        let hosts = fleet::uniform(count).expect("a small number of hosts");
        for host in &hosts {
            let mut agent = Agent::connect(cluster).await;
            agent.tell(Message::Register(host.spec())).await.expect("a new host registers");
        }
        Self { hosts }
    }
}

/// An agent that waits for the answer to each of its messages.
pub struct Agent {
    out: mpsc::Sender<v1::AgentMessage>,
    events: Streaming<v1::AgentEvent>,
    seq: u64,
}

impl Agent {
    pub async fn connect(cluster: &Cluster) -> Self {
        let (out, messages) = mpsc::channel(MESSAGES_WAITING);
        let events = cluster.client().agent(messages).await.expect("an agent's stream opens");
        Self { out, events, seq: 0 }
    }

    pub async fn tell(&mut self, message: Message) -> Result<v1::Done, v1::Failed> {
        self.seq += 1;
        let message = v1::AgentMessage { seq: self.seq, message: Some(message) };
        self.out.send(message).await.expect("the stream is open");
        loop {
            let event = self.events.message().await.expect("the stream is whole").expect("the stream goes on");
            match event.event {
                Some(Event::Done(done)) if done.seq == self.seq => return Ok(done),
                Some(Event::Failed(failed)) if failed.seq == self.seq => return Err(failed),
                _ => {}
            }
        }
    }
}

/// One machine with a part of a GPU.
pub fn place(request_id: &str, app: &str, gpu_milli: u32) -> v1::PlaceRequest {
    let gpu = v1::GpuShape { kinds: Vec::new(), count: 1, milli: gpu_milli, ..v1::GpuShape::default() };
    v1::PlaceRequest {
        request_id: request_id.to_owned(),
        app: app.to_owned(),
        shape: Some(v1::Shape { cpu_milli: 1_000, memory_bytes: 1 << 30, gpu: Some(gpu), ..Default::default() }),
        count: 1,
        lease_ms: 600_000,
        ..Default::default()
    }
}
