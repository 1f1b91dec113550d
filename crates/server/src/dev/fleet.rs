//! Simulated hosts and images, over the API that real agents use.

use std::time::Duration;

use anyhow::bail;
use gantry_proto::v1::{self, agent_event::Event, agent_message::Message, fleet_client::FleetClient};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
/// Messages of one agent on their way.
const MESSAGES_WAITING: usize = 64;
/// Those with which an agent introduces its host.
const FIRST_MESSAGES: u64 = 2;
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Where the hosts stand: region, zones.
const REGIONS: &[(&str, [&str; 2])] =
    &[("ams", ["ams-1", "ams-2"]), ("iad", ["iad-1", "iad-2"]), ("ord", ["ord-1", "ord-2"])];
/// Kinds of hosts, dealt out in turn: GPU kind, GPUs, memory of one.
const GPUS: &[(&str, u32, u64)] = &[("H100", 8, 80), ("A10", 4, 24), ("L40S", 8, 48), ("A10", 2, 24)];

/// Images as (reference, layers), a layer as (name, size in MiB). Layers of one name are the same layer. The sizes are
/// modelled on public images; the digests are made from the names.
const IMAGES: &[(&str, &[(&str, u64)])] = &[
    ("docker.io/ollama/ollama:latest", &[("ubuntu-22.04", 28), ("ollama-cuda-libs", 1_520), ("ollama", 34)]),
    (
        "docker.io/vllm/vllm-openai:v0.10.0",
        &[("ubuntu-22.04", 28), ("cuda-12.8", 2_650), ("torch-2.7", 3_900), ("vllm-0.10.0", 690)],
    ),
    (
        "docker.io/vllm/vllm-openai:v0.10.1",
        &[("ubuntu-22.04", 28), ("cuda-12.8", 2_650), ("torch-2.7", 3_900), ("vllm-0.10.1", 700)],
    ),
    (
        "registry.example/whisper:3",
        &[("ubuntu-22.04", 28), ("cuda-12.8", 2_650), ("torch-2.7", 3_900), ("whisper-large", 3_090)],
    ),
    ("registry.example/flame-runner:42", &[("debian-12", 29), ("erlang-27", 110), ("flame-runner-42", 61)]),
    ("registry.example/web:7", &[("debian-12", 29), ("erlang-27", 110), ("web-7", 48)]),
];

/// Records the images and connects an agent for each host. Returns when all of them have registered and told what they
/// hold; the agents go on until the server ends.
pub(super) async fn simulate(addr: &str, hosts: u32) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect().await?;
    let mut client = FleetClient::new(channel.clone());
    for (reference, layers) in IMAGES {
        let layers = layers.iter().map(|&(name, mib)| layer(name, mib)).collect();
        let image = v1::Image {
            reference: (*reference).to_owned(),
            digest: digest(reference),
            platform: "linux/amd64".to_owned(),
            layers,
        };
        client.record_image(v1::RecordImageRequest { image: Some(image) }).await?;
    }
    let mut starting = JoinSet::new();
    for number in 0..hosts {
        starting.spawn(Agent::start(channel.clone(), number));
    }
    while let Some(agent) = starting.join_next().await {
        tokio::spawn(agent??.run());
    }
    Ok(())
}

/// One host: registers, reports the layers of some images, confirms what is granted.
struct Agent {
    number: u32,
    out: mpsc::Sender<v1::AgentMessage>,
    events: Streaming<v1::AgentEvent>,
    seq: u64,
}

impl Agent {
    async fn start(channel: Channel, number: u32) -> anyhow::Result<Self> {
        let (out, messages) = mpsc::channel(MESSAGES_WAITING);
        let events = FleetClient::new(channel).agent(ReceiverStream::new(messages)).await?.into_inner();
        let mut agent = Self { number, out, events, seq: 0 };
        agent.tell(Message::Register(spec(number))).await?;
        agent.tell(Message::Layers(report(number))).await?;
        let told = agent.seq;
        while let Some(event) = agent.next().await? {
            match event {
                Event::Done(done) if done.seq == told => return Ok(agent),
                event => agent.handle(event).await?,
            }
        }
        bail!("the server ended the stream of host {}", spec(number).name)
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                event = self.next() => match event? {
                    Some(event) => self.handle(event).await?,
                    None => return Ok(()),
                },
                _ = heartbeat.tick() => self.tell(Message::Heartbeat(v1::Heartbeat {})).await?,
            }
        }
    }

    async fn tell(&mut self, message: Message) -> anyhow::Result<()> {
        self.seq += 1;
        Ok(self.out.send(v1::AgentMessage { seq: self.seq, message: Some(message) }).await?)
    }

    async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        Ok(self.events.message().await?.and_then(|event| event.event))
    }

    async fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Granted(row) => {
                let confirm = v1::ConfirmReservation { reservation_id: row.id, fence: row.fence };
                self.tell(Message::Confirm(confirm)).await
            }
            // A machine that was released before its confirmation came is no trouble; a host that is refused is.
            Event::Failed(failed) if failed.seq <= FIRST_MESSAGES => {
                bail!("host {} was refused: {}", spec(self.number).name, failed.message)
            }
            _ => Ok(()),
        }
    }
}

fn spec(number: u32) -> v1::HostSpec {
    let (region, zones) = REGIONS[number as usize % REGIONS.len()];
    let place = number as usize / REGIONS.len();
    let (kind, gpus, gpu_gib) = GPUS[place % GPUS.len()];
    let devices = (0..gpus).map(|index| v1::Device {
        index,
        kind: kind.to_owned(),
        memory_bytes: gpu_gib * GIB,
        ..v1::Device::default()
    });
    v1::HostSpec {
        name: format!("{region}-{:02}", place + 1),
        region: region.to_owned(),
        zone: zones[place % zones.len()].to_owned(),
        labels: vec![v1::Label { key: "gpu".to_owned(), value: kind.to_lowercase() }],
        cpu_shared_milli: 64_000,
        cpu_overcommit_percent: 200,
        cpu_performance_milli: 32_000,
        memory_bytes: 512 * GIB,
        volume_bytes: 4_096 * GIB,
        cache_bytes: 500 * GIB,
        devices: devices.collect(),
    }
}

/// Every host has two of the images, so that some are near and some are far.
fn report(number: u32) -> v1::LayerReport {
    let (place, region) = (number as usize / REGIONS.len(), number as usize % REGIONS.len());
    let near = [(place + region) % IMAGES.len(), (place * 5 + region * 2 + 3) % IMAGES.len()];
    let mut present: Vec<v1::LayerOnHost> = Vec::new();
    for &(name, mib) in near.iter().flat_map(|&image| IMAGES[image].1) {
        let layer = layer(name, mib);
        if present.iter().all(|known| known.digest != layer.digest) {
            let state = v1::LayerState::Unpacked as i32;
            present.push(v1::LayerOnHost {
                digest: layer.digest,
                size_bytes: layer.size_bytes,
                state,
                ..v1::LayerOnHost::default()
            });
        }
    }
    v1::LayerReport { full: true, present, gone: Vec::new() }
}

fn layer(name: &str, mib: u64) -> v1::Layer {
    v1::Layer { digest: digest(name), size_bytes: mib * MIB, diff_id: String::new() }
}

/// A well-formed digest made from a name, for layers that exist nowhere.
fn digest(name: &str) -> String {
    let mut words = [0u64; 4];
    for (at, word) in words.iter_mut().enumerate() {
        let start = 0xcbf2_9ce4_8422_2325 ^ (at as u64) << 56;
        *word = name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    }
    format!("sha256:{}", words.map(|word| format!("{word:016x}")).concat())
}
