//! What the black-box tests share: a cluster of processes with a small fleet.

use std::{path::Path, process::Command, time::Duration};

use gantry_bench::{
    cluster::Cluster,
    fleet::{self, Host},
};
use gantry_client::{
    Client,
    v1::{self, agent_event::Event, agent_message::Message},
};
use serde_json::Value;
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
        Self::on(cluster.client(), count).await
    }

    pub async fn on(client: &Client, count: usize) -> Self {
        let hosts = fleet::uniform(count).expect("a small number of hosts");
        for host in &hosts {
            let mut tries = 0;
            // An agent registers again where an election takes its stream.
            while let Err(failed) = Agent::on(client).await.tell(Message::Register(host.spec())).await {
                tries += 1;
                let is_hinted = |hint: &&str| failed.message.contains(hint);
                let passes = ["try again", "send it again"].iter().any(is_hinted);
                assert!(tries < 100 && passes, "a new host registers: {failed:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
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
        Self::on(cluster.client()).await
    }

    async fn on(client: &Client) -> Self {
        let (out, messages) = mpsc::channel(MESSAGES_WAITING);
        let events = client.agent(messages).await.expect("an agent's stream opens");
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

/// Exit code and last line of what the command line says to programs.
pub fn run(addr: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(gantry()).args(["--json", "--addr", addr]).args(arguments).output().expect("gantry runs");
    let text = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), text.lines().last().unwrap_or_default().to_owned())
}

pub fn done(addr: &str, arguments: &[&str]) -> Value {
    let (code, line) = run(addr, arguments);
    assert_eq!(code, Some(0), "gantry {}: {line}", arguments.join(" "));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line} is no JSON: {error}"))
}
