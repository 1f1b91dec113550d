//! Weeks of deployments in seconds: what lies in the caches when the burst comes.
//!
//! Applications run machines over the fleet. Round by round their images move on to the next version and their machines
//! are replaced; some others are replaced because applications grow and shrink. All of it is placed through the API, and
//! agents pull what they are granted. In the last round each application moves to its newest version, which a tenth of its
//! machines run when the burst comes. Then every machine is released: caches are warm and all GPUs free.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use fastrand::Rng;
use gantry_client::Client;
use gantry_proto::v1;

use super::{
    agents::Agents,
    workload::{Tenant, tenants},
};
use crate::{
    catalogue::{Catalogue, Image, Layer},
    fleet::Host,
};

const ROUNDS: usize = 10;
/// Machines that run at a time, in percent of the fleet's GPUs.
const FILL_PERCENT: usize = 50;
/// Machines of an unchanged application that are replaced in a round, in percent.
const CHURN_PERCENT: usize = 10;
/// Machines that run an application's newest version when the burst comes, in percent.
const ROLLED_OUT_PERCENT: usize = 10;
/// Most ids in one release.
const RELEASE_BATCH: usize = 500;
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(20);

/// What the history did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub placed: u64,
    pub missing: u64,
    pub tag_moves: u64,
}

/// How the history's machines are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// As the burst is: next to the layers.
    Gantry,
    /// Without image knowledge, so that the caches owe nothing to it.
    Blind,
}

pub struct History<'a> {
    client: &'a Client,
    agents: &'a Agents,
    layers: &'a [Layer],
    policy: Policy,
    tenants: Vec<Tenant>,
    machines: usize,
    rng: Rng,
    /// Reservations of each tenant, oldest first.
    running: Vec<Vec<u64>>,
    totals: Totals,
}

impl<'a> History<'a> {
    pub fn new(
        client: &'a Client,
        agents: &'a Agents,
        (catalogue, hosts): (&'a Catalogue, &[Host]),
        policy: Policy,
        seed: u64,
    ) -> Result<Self> {
        let gpus: usize = hosts.iter().map(|host| host.gpus as usize).sum();
        let machines = gpus * FILL_PERCENT / 100;
        let tenants = tenants(catalogue, hosts, machines, seed)?;
        let running = vec![Vec::new(); tenants.len()];
        let rng = Rng::with_seed(seed ^ 0x4157);
        let layers = &catalogue.layers;
        Ok(Self { client, agents, layers, policy, tenants, machines, rng, running, totals: Totals::default() })
    }

    /// Plays it all; `show` is told the part that is done.
    pub async fn play(mut self, show: impl Fn(f64)) -> Result<(Vec<Tenant>, Totals)> {
        for round in 0..ROUNDS {
            for at in 0..self.tenants.len() {
                self.deploy(at, round).await?;
            }
            self.confirmed().await?;
            show((round + 1) as f64 / (ROUNDS + 1) as f64);
        }
        for at in 0..self.tenants.len() {
            let all = std::mem::take(&mut self.running[at]);
            self.release(&all).await?;
        }
        show(1.0);
        Ok((self.tenants, self.totals))
    }

    /// One application's round. In the last one its newest version is only being rolled out: that is when the burst comes.
    async fn deploy(&mut self, at: usize, round: usize) -> Result<()> {
        let tenant = &self.tenants[at];
        let version = |round: usize| round * (tenant.app.versions.len() - 1) / (ROUNDS - 1);
        let moved = round == 0 || version(round) != version(round - 1);
        let image = Arc::clone(&tenant.app.versions[version(round)]);
        let have = self.running[at].len();
        let rolled_out = moved && round + 1 == ROUNDS;
        let grown = 0.85 + 0.3 * self.rng.f64();
        let want = if rolled_out { have } else { (tenant.share * self.machines as f64 * grown).ceil() as usize };
        let replaced_percent = match (moved, rolled_out) {
            (true, true) => ROLLED_OUT_PERCENT,
            (true, false) => 100,
            (false, _) => CHURN_PERCENT,
        };
        let ended = (have * replaced_percent).div_ceil(100).max(have.saturating_sub(want));
        let started = (want + ended).saturating_sub(have);
        if moved {
            self.record(&image).await?;
        }
        let placed = self.place(at, &image, started).await?;
        let old: Vec<u64> = self.running[at].drain(..ended).collect();
        self.running[at].extend(placed);
        self.release(&old).await
    }

    async fn record(&mut self, image: &Arc<Image>) -> Result<()> {
        record(self.client, self.agents, image, self.layers).await?;
        self.totals.tag_moves += 1;
        Ok(())
    }

    async fn place(&mut self, at: usize, image: &Image, count: usize) -> Result<Vec<u64>> {
        let mut placed = Vec::new();
        let mut left = count;
        while left > 0 {
            // A tenant's machines are of a few shapes; each call is of one.
            let count = left.min((count / 4).max(8));
            left -= count;
            let mut request = self.tenants[at].request(image, count as u32, &mut self.rng);
            request.image_blind = self.policy == Policy::Blind;
            let answer = match self.client.place(request).await {
                Ok(answer) => answer,
                Err(error) if error.reason() == gantry_proto::reason::NO_CAPACITY => {
                    self.totals.missing += count as u64;
                    continue;
                }
                Err(error) => return Err(error).context("a placement of the history was refused"),
            };
            self.totals.placed += answer.reservations.len() as u64;
            self.totals.missing += u64::from(answer.missing);
            placed.extend(answer.reservations.iter().map(|reservation| reservation.id));
        }
        Ok(placed)
    }

    /// Until the agents have confirmed and pulled everything.
    async fn confirmed(&self) -> Result<()> {
        let want = self.totals.placed;
        let done = |totals: super::agents::Totals| totals.confirmed >= want && totals.waiting == 0;
        self.agents.wait("confirmations of the history's machines", CONFIRM_TIMEOUT, done, |_| ()).await
    }

    async fn release(&self, ids: &[u64]) -> Result<()> {
        release(self.client, ids).await
    }
}

/// What a reference stands for from now on, told to the servers and to the agents.
pub async fn record(client: &Client, agents: &Agents, image: &Arc<Image>, layers: &[Layer]) -> Result<()> {
    agents.learn(image);
    let message = v1::Image {
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        platform: image.platform.clone(),
        layers: image
            .layers
            .iter()
            .map(|&no| &layers[no as usize])
            .map(|layer| v1::Layer {
                digest: layer.digest.clone(),
                size_bytes: layer.size_bytes,
                diff_id: String::new(),
            })
            .collect(),
    };
    let recorded = client.record_image(v1::RecordImageRequest { image: Some(message) }).await;
    recorded.with_context(|| format!("image {} was refused", image.reference))?;
    Ok(())
}

pub async fn release(client: &Client, ids: &[u64]) -> Result<()> {
    for batch in ids.chunks(RELEASE_BATCH) {
        let request = v1::ReleaseRequest { request_id: String::new(), reservation_ids: batch.to_vec() };
        client.release(request).await.context("a release was refused")?;
    }
    Ok(())
}
