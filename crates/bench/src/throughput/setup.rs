//! The fleet under load: hosts register over the agents' stream, each with layers of a few images, and hang up.

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use gantry_client::Client;
use gantry_proto::v1::{self, AgentMessage, agent_event::Event, agent_message::Message, fleet_client::FleetClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::{
    catalogue::{App, Catalogue, Layer},
    connect,
    fleet::Host,
};

const CONNECTIONS: usize = 16;
/// Open at a time; a connection carries at least a hundred.
const STREAMS: usize = CONNECTIONS * 64;
/// Images whose layers a host holds.
const IMAGES_PER_HOST: usize = 3;

pub async fn record(client: &Client, apps: &[App], layers: &[Layer]) -> Result<()> {
    for app in apps {
        let image = app.newest();
        let layers = image.layers.iter().map(|&no| &layers[no as usize]).map(|layer| v1::Layer {
            digest: layer.digest.clone(),
            size_bytes: layer.size_bytes,
            diff_id: String::new(),
        });
        let message = v1::Image {
            reference: image.reference.clone(),
            digest: image.digest.clone(),
            platform: image.platform.clone(),
            layers: layers.collect(),
        };
        let recorded = client.record_image(v1::RecordImageRequest { image: Some(message) }).await;
        recorded.with_context(|| format!("image {} was refused", image.reference))?;
    }
    Ok(())
}

/// Registers all hosts at one node, many at a time.
pub async fn register(addr: &str, hosts: &[Host], apps: &[App], catalogue: &Catalogue) -> Result<()> {
    let channels = (0..CONNECTIONS).map(|_| connect::lazily(addr)).collect::<Result<Vec<_>>>()?;
    stream::iter(hosts.iter().enumerate())
        .map(|(at, host)| {
            let channel = channels[at % channels.len()].clone();
            let report = report(at, apps, &catalogue.layers);
            async move { introduce(channel, host, report).await.with_context(|| format!("host {}", host.name)) }
        })
        .buffer_unordered(STREAMS)
        .try_collect()
        .await
}

/// Which images a host holds follows from its number.
fn report(at: usize, apps: &[App], layers: &[Layer]) -> v1::LayerReport {
    let mut numbers: Vec<_> = (0..IMAGES_PER_HOST)
        .map(|n| &apps[(at * 7 + n * 5 + at / apps.len()) % apps.len()])
        .flat_map(|app| app.newest().layers.iter().copied())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let present = numbers.into_iter().map(|no| &layers[no as usize]).map(|layer| v1::LayerOnHost {
        digest: layer.digest.clone(),
        size_bytes: layer.size_bytes,
        state: v1::LayerState::Unpacked.into(),
        ..v1::LayerOnHost::default()
    });
    v1::LayerReport { full: true, present: present.collect(), gone: Vec::new() }
}

async fn introduce(channel: Channel, host: &Host, report: v1::LayerReport) -> Result<()> {
    let (sender, outbound) = mpsc::channel(2);
    for (seq, message) in [(1, Message::Register(host.spec())), (2, Message::Layers(report))] {
        sender.try_send(AgentMessage { seq, message: Some(message) }).context("the queue holds both messages")?;
    }
    let mut events = FleetClient::new(channel).agent(ReceiverStream::new(outbound)).await?.into_inner();
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Done(done)) if done.seq == 2 => return Ok(()),
            Some(Event::Failed(failed)) => bail!("message {} was refused: {}", failed.seq, failed.message),
            _ => (),
        }
    }
    bail!("the node ended the stream before it answered")
}
