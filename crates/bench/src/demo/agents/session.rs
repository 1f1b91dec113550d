//! One stream of one agent, from registration to its end.

use std::{collections::HashMap, sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Context, Result, bail};
use gantry_proto::{
    reason,
    v1::{self, AgentMessage, agent_event::Event, agent_message::Message, fleet_client::FleetClient},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{Agent, Running};

const HEARTBEAT: Duration = Duration::from_secs(5);
/// Messages that one agent has queued: more means that its node does not read, and another one is tried.
const QUEUE: usize = 1_024;

/// The sending half, and what is not answered yet.
struct Outbox {
    sender: mpsc::Sender<AgentMessage>,
    seq: u64,
    waiting: HashMap<u64, Waiting>,
}

enum Waiting {
    Register,
    Layers,
    Confirm(u64),
    Heartbeat,
}

impl Agent {
    /// Until the stream ends; true where it got as far as a registration.
    pub(super) async fn session(&mut self, channel: Channel) -> bool {
        let (sender, outbound) = mpsc::channel(QUEUE);
        let mut outbox = Outbox { sender, seq: 0, waiting: HashMap::new() };
        let mut registered = false;
        // Why a stream ended changes nothing for an agent; messages that were refused are counted where they arrive.
        let _ended = self.converse(channel, outbound, &mut outbox, &mut registered).await;
        self.shared.waiting.fetch_sub(outbox.waiting.len(), Relaxed);
        self.report_all |= outbox.waiting.values().any(|waiting| matches!(waiting, Waiting::Layers));
        if registered {
            self.shared.registered.fetch_sub(1, Relaxed);
        }
        registered
    }

    async fn converse(
        &mut self,
        channel: Channel,
        outbound: mpsc::Receiver<AgentMessage>,
        outbox: &mut Outbox,
        registered: &mut bool,
    ) -> Result<()> {
        self.send(outbox, Message::Register(self.spec.clone()), Waiting::Register)?;
        let mut client = FleetClient::new(channel);
        let mut events = client.agent(ReceiverStream::new(outbound)).await?.into_inner();
        let first = Instant::now() + HEARTBEAT.mul_f64(1.0 + (self.at % 64) as f64 / 64.0);
        let mut heartbeat = interval_at(first, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.message() => match event?.context("the node ended the stream")?.event {
                    Some(event) => self.take(event, outbox, registered)?,
                    None => continue,
                },
                _ = heartbeat.tick() => self.send(outbox, Message::Heartbeat(v1::Heartbeat {}), Waiting::Heartbeat)?,
            }
        }
    }

    fn take(&mut self, event: Event, outbox: &mut Outbox, registered: &mut bool) -> Result<()> {
        match event {
            Event::Done(done) => match outbox.answered(done.seq, self) {
                Some(Waiting::Register) => {
                    *registered = true;
                    self.shared.registered.fetch_add(1, Relaxed);
                    if std::mem::take(&mut self.report_all) {
                        let all: Vec<_> = self.cache.lock().layers().collect();
                        self.report(outbox, true, &all, &[])?;
                    }
                }
                Some(Waiting::Confirm(reservation)) => {
                    if let Some(running) = self.running.get_mut(&reservation)
                        && !std::mem::replace(&mut running.confirmed, true)
                    {
                        self.shared.confirmed.fetch_add(1, Relaxed);
                    }
                }
                Some(Waiting::Layers | Waiting::Heartbeat) | None => (),
            },
            Event::Failed(failed) => {
                let waiting = outbox.answered(failed.seq, self);
                self.report_all |= matches!(waiting, Some(Waiting::Layers));
                if failed.detail.as_ref().is_some_and(|detail| detail.reason == reason::NOT_LEADER) {
                    bail!("the node passes nothing on: it knows no leader");
                }
                self.shared.refused.fetch_add(1, Relaxed);
                let what = format!("{}: {}", self.spec.name, failed.message);
                self.shared.first_refusal.lock().get_or_insert(what);
                if matches!(waiting, Some(Waiting::Register)) {
                    bail!("the registration was refused: {}", failed.message);
                }
            }
            Event::Granted(reservation) => self.granted(&reservation, outbox)?,
            Event::Ended(ended) => drop(self.running.remove(&ended.reservation_id)),
            // Advice, which it does not take.
            Event::Fetch(_) | Event::CancelFetch(_) => {}
        }
        Ok(())
    }

    /// Confirms a grant. An older fence than the one known is from a history that was overtaken, and is ignored (S10).
    fn granted(&mut self, reservation: &v1::Reservation, outbox: &mut Outbox) -> Result<()> {
        let (id, fence) = (reservation.id, reservation.fence);
        let running = self.running.entry(id).or_insert(Running { fence, confirmed: false });
        if fence < running.fence {
            return Ok(());
        }
        running.fence = fence;
        if self.shared.pulling.load(Relaxed) {
            let image = self.shared.images.read().get(&reservation.image).cloned();
            if let Some(image) = image {
                let change = self.cache.lock().use_image(&image, &self.shared.layers);
                if !change.pulled.is_empty() || !change.evicted.is_empty() {
                    self.report(outbox, false, &change.pulled, &change.evicted)?;
                }
            }
        }
        let confirm = v1::ConfirmReservation { reservation_id: id, fence };
        self.send(outbox, Message::Confirm(confirm), Waiting::Confirm(id))
    }

    fn report(&self, outbox: &mut Outbox, full: bool, present: &[u32], gone: &[u32]) -> Result<()> {
        let layers = &self.shared.layers;
        let report = v1::LayerReport {
            full,
            present: present
                .iter()
                .map(|&no| &layers[no as usize])
                .map(|layer| v1::LayerOnHost {
                    digest: layer.digest.clone(),
                    size_bytes: layer.size_bytes,
                    state: v1::LayerState::Unpacked.into(),
                    ..v1::LayerOnHost::default()
                })
                .collect(),
            gone: gone.iter().map(|&no| layers[no as usize].digest.clone()).collect(),
        };
        self.send(outbox, Message::Layers(report), Waiting::Layers)
    }

    fn send(&self, outbox: &mut Outbox, message: Message, waiting: Waiting) -> Result<()> {
        outbox.seq += 1;
        let sent = outbox.sender.try_send(AgentMessage { seq: outbox.seq, message: Some(message) });
        sent.context("the node does not take messages")?;
        outbox.waiting.insert(outbox.seq, waiting);
        self.shared.waiting.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Outbox {
    fn answered(&mut self, seq: u64, agent: &Agent) -> Option<Waiting> {
        let waiting = self.waiting.remove(&seq)?;
        agent.shared.waiting.fetch_sub(1, Relaxed);
        Some(waiting)
    }
}
