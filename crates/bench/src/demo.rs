//! The demo: a cluster of three processes, a fleet of a thousand hosts, a burst, a killed leader, an audit.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use gantry_client::Client;
use gantry_proto::v1;
use tokio::sync::oneshot;

mod agents;
mod burst;
mod history;
mod progress;
pub use self::history::Policy;

pub mod results;
#[cfg(test)]
pub mod sample;
pub mod workload;

use self::{
    agents::Agents,
    burst::{ALL_AT_ONCE, Burst, CONNECTIONS, Plan},
    progress::Steps,
    results::{Killed, Results},
    workload::Ask,
};
use crate::{
    audit::{self, Callers, Findings, Grant, Replica},
    catalogue::Catalogue,
    cluster::{self, Cluster},
    fleet::{self, Host},
    report,
};

const REGISTER_TIMEOUT: Duration = Duration::from_secs(30);
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Images recorded beside those that are deployed.
const IMAGES: usize = 400;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object as the last line, and no progress.
    #[arg(long)]
    json: bool,
    /// Where report.html, summary.svg and the servers' data go.
    #[arg(long, default_value_os_t = cluster::default_dir("demo"))]
    out: PathBuf,
    /// Image catalogues instead of the built-in one: JSON lines, optionally zstd.
    #[arg(long, num_args = 1..)]
    images: Vec<PathBuf>,
    /// A node list of the openb trace instead of the built-in fleet.
    #[arg(long)]
    fleet: Option<PathBuf>,
    /// Requests of the burst.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    requests: u32,
    /// Decides who asks for what.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the machines that warmed the caches were placed.
    #[arg(long, value_enum, default_value_t = history::Policy::Blind)]
    history: history::Policy,
    /// Leave the leader alone.
    #[arg(long)]
    no_kill: bool,
}

pub async fn run(args: Args) -> Result<()> {
    let catalogue = if args.images.is_empty() { Catalogue::built_in() } else { Catalogue::read(&args.images) }?;
    let hosts = args.fleet.as_deref().map_or_else(fleet::built_in, fleet::read)?;
    let steps = Steps::new(args.json);
    let binary = cluster::binary::find()?;
    let started = Instant::now();
    let step = steps.begin("three server processes", 3);
    let mut cluster = Cluster::start(&binary, &args.out).await?;
    step.done(format!("node {} leads", cluster.leader().await?));
    let mut demo = Demo { args, steps, catalogue, hosts, clients: clients(&cluster)?, findings: None };
    let played = demo.play(&mut cluster).await;
    let mut results = cluster.keep_if_failed(played)?;
    let broken = results.broken();
    let kept = cluster.stop(!broken.is_empty());
    results.elapsed_s = started.elapsed().as_secs_f64();
    let page = write_report(&results, &demo.args.out)?;
    if demo.args.json {
        println!("{}", results.json());
    } else {
        println!("{}\nreport: {}", results.table(), page.display());
    }
    results.findings.described.iter().for_each(|what| eprintln!("{what}"));
    for why in results.bursts().into_iter().filter_map(Burst::first_trouble) {
        eprintln!("first request that was not placed: {why}");
    }
    if let Some(dir) = kept {
        bail!("a promise broke: {}; the servers' data and logs stay in {}", broken.join(", "), dir.display());
    }
    Ok(())
}

fn clients(cluster: &Cluster) -> Result<Vec<Client>> {
    (0..CONNECTIONS).map(|_| Ok(Client::new(cluster.addrs())?)).collect()
}

fn write_report(results: &Results, out: &Path) -> Result<PathBuf> {
    let write = |name: &str, text: String| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    write("summary.svg", report::summary::draw(results))?;
    write("report.html", report::demo_page::draw(results))
}

struct Demo {
    args: Args,
    steps: Steps,
    catalogue: Catalogue,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    findings: Option<Findings>,
}

impl Demo {
    async fn play(&mut self, cluster: &mut Cluster) -> Result<Results> {
        let agents = self.register(cluster).await?;
        let images = self.record(&agents).await?;
        let (tenants, history) = self.warm(&agents).await?;
        let asks = workload::burst(&tenants, self.args.requests as usize, self.args.seed)?;
        let caches = agents.caches();

        let run = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_millis();
        let plan = |name: &str| Plan { name: format!("{name}-{run:x}"), image_blind: false, window: ALL_AT_ONCE };
        let aware = self.burst("burst, layer-aware", &asks, &plan("aware")).await?;
        self.settle(cluster, &aware, true).await?;
        let blind_plan = Plan { image_blind: true, ..plan("blind") };
        let blind = self.burst("the same, image-blind", &asks, &blind_plan).await?;
        self.settle(cluster, &blind, true).await?;
        let (last, killed) = if self.args.no_kill {
            (self.burst("burst, once more", &asks, &plan("again")).await?, None)
        } else {
            let killed_plan = Plan { window: asks.len().div_ceil(CONNECTIONS), ..plan("killed") };
            let twice: Vec<Ask> = asks.iter().chain(&asks).cloned().collect();
            let (burst, killed) = self.burst_with_kill(cluster, &twice, &killed_plan).await?;
            (burst, Some(killed))
        };
        let replicas = self.settle(cluster, &last, false).await?;
        if let Some(refusal) = agents.first_refusal() {
            eprintln!("first message of an agent that was refused: {refusal}");
        }
        let confirmed = standing_confirmed(&replicas);
        let mut replicas = replicas;
        let standing =
            replicas.first_mut().map(|replica| std::mem::take(&mut replica.reservations)).unwrap_or_default();
        replicas.iter_mut().for_each(|replica| replica.reservations.clear());
        Ok(Results {
            hosts: std::mem::take(&mut self.hosts),
            images,
            layers: std::mem::take(&mut self.catalogue.layers),
            nodes: cluster.addrs().len(),
            seed: self.args.seed,
            tenants,
            asks,
            policy: self.args.history,
            history,
            cached_bytes: agents.cached_bytes(),
            caches,
            aware,
            blind,
            last,
            killed,
            confirmed,
            agents: agents.totals(),
            findings: self.findings.take().unwrap_or_default(),
            replicas,
            standing,
            elapsed_s: 0.0,
        })
    }

    async fn register(&self, cluster: &Cluster) -> Result<Agents> {
        let want = self.hosts.len();
        let step = self.steps.begin("agents register their hosts", want);
        let agents = Agents::start(&self.hosts, &cluster.addrs(), self.catalogue.layers.clone())?;
        let done = |totals: agents::Totals| totals.registered == want && totals.waiting == 0;
        agents.wait("registrations", REGISTER_TIMEOUT, done, |totals| step.at(totals.registered)).await?;
        let gpus: u64 = self.hosts.iter().map(|host| u64::from(host.gpus)).sum();
        step.done(format!("{} hosts, {} GPUs", report::grouped(want as u64), report::grouped(gpus)));
        Ok(agents)
    }

    /// Records the catalogue's images, the newest of a reference last.
    async fn record(&self, agents: &Agents) -> Result<usize> {
        let newest = self.catalogue.images.len().saturating_sub(IMAGES);
        let images = &self.catalogue.images[newest..];
        let step = self.steps.begin("images are recorded", images.len());
        let mut references = HashSet::new();
        for (at, image) in images.iter().enumerate() {
            history::record(&self.clients[0], agents, image, &self.catalogue.layers).await?;
            references.insert(&image.reference);
            step.at(at + 1);
        }
        step.done(format!("{} references", references.len()));
        Ok(references.len())
    }

    async fn warm(&self, agents: &Agents) -> Result<(Vec<workload::Tenant>, history::Totals)> {
        const PARTS: f64 = 100.0;
        let step = self.steps.begin("a history of deployments", PARTS as usize);
        let world = (&self.catalogue, self.hosts.as_slice());
        let history = history::History::new(&self.clients[0], agents, world, self.args.history, self.args.seed)?;
        let (tenants, totals) = history.play(|part| step.at((part * PARTS) as usize)).await?;
        agents.stop_pulling();
        let (placed, cached) = (report::grouped(totals.placed), report::bytes(agents.cached_bytes()));
        step.done(format!("{placed} machines, {} tag moves, {cached} cached", totals.tag_moves));
        Ok((tenants, totals))
    }

    async fn burst(&self, what: &str, asks: &[Ask], plan: &Plan) -> Result<Burst> {
        let step = self.steps.begin(what, asks.len());
        let burst = burst::run(&self.clients, asks, plan, None, |answered| step.at(answered)).await?;
        step.done(format!("{} placed in {:.2} s", burst.placed().count(), burst.took.as_secs_f64()));
        Ok(burst)
    }

    /// As many requests are unanswered at any time as a whole burst has; each answer lets the next one go. So half way there
    /// are some that the leader has not even read, however fast it is.
    async fn burst_with_kill(&self, cluster: &mut Cluster, asks: &[Ask], plan: &Plan) -> Result<(Burst, Killed)> {
        let leader = cluster.leader().await?;
        let step = self.steps.begin("burst, leader killed half way", asks.len());
        let (halfway, reached) = oneshot::channel();
        let started = Instant::now();
        let kill = async {
            reached.await.context("the burst ended before half of it was answered")?;
            cluster.kill(leader)?;
            anyhow::Ok((Instant::now(), SystemTime::now()))
        };
        let send = burst::run(&self.clients, asks, plan, Some(halfway), |answered| step.at(answered));
        let (burst, (killed, killed_at)) = tokio::try_join!(send, kill)?;
        let killed_at_ms = killed_at.duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_millis() as u64;
        let after = killed.duration_since(started);
        // Granted after the kill by the leader's own stamp, so not an answer of the dead one that was still on its way.
        let first = burst.placed().filter(|(_, _, r)| r.created_at_ms > killed_at_ms).map(|(_, a, _)| a.after).min();
        let failover_ms = first.map(|first| first.saturating_sub(after).as_secs_f64() * 1_000.0);
        let placed = burst.placed().count();
        step.done(match failover_ms {
            Some(ms) => format!("{placed} placed; {ms:.0} ms from the kill to a new placement"),
            None => format!("{placed} placed; none after the kill"),
        });
        let step = self.steps.begin("the killed node comes back", 1);
        cluster.restart(leader).await?;
        let statuses = cluster.settled().await?;
        let back_ms = killed.elapsed().as_secs_f64() * 1_000.0;
        let new_leader = statuses.iter().find(|status| status.role == "leader").map_or(0, |status| status.node_id);
        step.done(format!("node {leader} follows node {new_leader}"));
        let after_ms = after.as_secs_f64() * 1_000.0;
        Ok((burst, Killed { node: leader, after_ms, failover_ms, new_leader, back_ms }))
    }

    /// Waits for the hosts' confirmations, audits, and releases everything where something comes after.
    async fn settle(&mut self, cluster: &Cluster, burst: &Burst, release: bool) -> Result<Vec<Replica>> {
        let want = burst.placed().count();
        let step = self.steps.begin("confirmations, audit", want);
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        let replicas = loop {
            let replicas = audit::replicas::read(cluster).await?;
            let confirmed = standing_confirmed(&replicas) as usize;
            step.at(confirmed);
            if confirmed >= want || Instant::now() > deadline {
                break replicas;
            }
            // Reading everything takes time from the hosts whose confirmations are waited for.
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let callers = Callers {
            acknowledged: burst.placed().map(|(at, _, r)| (burst.request_id(at), Grant::from(r))).collect(),
            sent: (0..burst.answers.len()).map(|at| burst.request_id(at)).collect(),
        };
        let findings = audit::audit(&self.hosts, &callers, &replicas);
        step.done(format!("{} confirmed; {findings}", standing_confirmed(&replicas)));
        self.findings = Some(match self.findings.take() {
            Some(before) => before.and(findings),
            None => findings,
        });
        if release {
            let ids: Vec<u64> = replicas
                .iter()
                .flat_map(|r| &r.reservations)
                .map(|r| r.id)
                .collect::<HashSet<_>>()
                .into_iter()
                .collect();
            history::release(&self.clients[0], &ids).await?;
            let left = cluster.settled().await?;
            if let Some(status) = left.iter().find(|status| status.reservations > 0) {
                bail!("node {} still has {} reservations after all were released", status.node_id, status.reservations);
            }
        }
        Ok(replicas)
    }
}

/// Reservations that their hosts have confirmed, on the first replica.
fn standing_confirmed(replicas: &[Replica]) -> u64 {
    let allocated = i32::from(v1::Phase::Allocated);
    replicas.first().map_or(0, |r| r.reservations.iter().filter(|r| r.phase == allocated).count() as u64)
}
