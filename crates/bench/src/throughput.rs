//! How many placements a second three servers acknowledge, with the load on the same machine.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::task::LocalSet;

#[cfg(test)]
mod fake;
mod load;
mod measure;
mod mix;
mod setup;
mod stream;
mod tally;
mod unary;
mod wire;

#[cfg(test)]
pub use self::tally::latencies;
use self::{
    load::{Control, DRAIN, Lane},
    measure::Meter,
    mix::Supply,
    tally::Tally,
};
pub use self::{measure::Measured, setup::register};
use crate::{
    audit::{self, Findings},
    catalogue::{App, Catalogue},
    cluster::{self, Cluster},
    connect,
    fleet::{self, Host},
    report,
};

/// Until as many machines stand as should.
const FILL_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// GPUs of a host.
const GPUS_PER_HOST: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// All placements of a connection over one PlaceStream.
    Stream,
    /// One Place call for each placement.
    Unary,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_enum)]
    pub mode: Mode,
    /// Hosts of eight GPUs.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub hosts: u32,
    /// Measured time, after the fleet has been filled to its level.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
    /// Connections to the leader; 4 for streams and 8 for single calls unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub connections: Option<u32>,
    /// Unanswered placements, over all connections; 2048 for streams and 256 for single calls unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub in_flight: Option<u32>,
    /// Part of the fleet's GPUs that is taken while measuring, in percent.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=90))]
    pub fill: u32,
    /// Where the page goes, and the servers' data.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    pub out: PathBuf,
}

impl Args {
    pub fn connections(&self) -> usize {
        self.connections.unwrap_or(if self.mode == Mode::Stream { 4 } else { 8 }) as usize
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.unwrap_or(if self.mode == Mode::Stream { 2_048 } else { 256 }) as usize
    }

    pub fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::Stream => "stream",
            Mode::Unary => "unary",
        }
    }

    /// Machines that stand while measuring.
    fn standing(&self) -> u64 {
        u64::from(self.hosts) * GPUS_PER_HOST * 1_000 * u64::from(self.fill) / 100 / mix::MEAN_GPU_MILLI
    }
}

pub async fn run(args: Args) -> Result<()> {
    let say = |what: &str| {
        if !args.json {
            eprintln!("{what}");
        }
    };
    let catalogue = Catalogue::built_in()?;
    let apps = mix::apps(&catalogue)?;
    let hosts = fleet::uniform(args.hosts as usize)?;
    let binary = cluster::binary::find()?;
    let mut cluster = Cluster::start(&binary, &args.out).await?;
    say(&format!("three servers run; registering {} hosts", report::grouped(hosts.len() as u64)));
    let measured = Run { args: &args, hosts: &hosts, apps: &apps }.play(&cluster, &catalogue, &say).await;
    let measured = cluster.keep_if_failed(measured)?;
    let broken = measured.broken();
    let kept = cluster.stop(broken.is_some());
    let page = args.out.join(format!("throughput-{}.html", args.mode_name()));
    report::write(&page, &report::throughput_page::draw(&args, &measured))?;
    say(&format!("{}\nreport: {}", measured.table(&args), page.display()));
    measured.findings.described.iter().for_each(|what| eprintln!("{what}"));
    if let Some(error) = &measured.first_error {
        eprintln!("first error: {error}");
    }
    if args.json {
        println!("{}", measured.json(&args));
    }
    match (broken, kept) {
        (Some(broken), Some(dir)) => bail!("{broken}; the servers' data and logs stay in {}", dir.display()),
        (Some(broken), None) => bail!(broken),
        (None, _) => Ok(()),
    }
}

struct Run<'a> {
    args: &'a Args,
    hosts: &'a [Host],
    apps: &'a [App],
}

impl Run<'_> {
    async fn play(&self, cluster: &Cluster, catalogue: &Catalogue, say: &dyn Fn(&str)) -> Result<Measured> {
        let (leader, first_term) = leader(cluster).await?;
        let started = Instant::now();
        setup::record(cluster.client(), self.apps, &catalogue.layers).await?;
        setup::register(&leader, self.hosts, self.apps, catalogue).await?;
        let setup_s = started.elapsed().as_secs_f64();
        say(&format!("registered in {setup_s:.1} s; filling to {} machines", report::grouped(self.args.standing())));
        let data_dir = cluster.data_dir().context("the cluster has a directory while it runs")?.to_owned();
        let local = LocalSet::new();
        let (mut measured, tallies) = local.run_until(self.load(cluster, &leader, &data_dir)).await?;
        let mut tally = Tally::new()?;
        for part in tallies {
            tally.add(part)?;
        }
        measured.setup_s = setup_s;
        measured.elections = self::leader(cluster).await?.1.saturating_sub(first_term);
        measured.findings = self.audit(cluster, &tally).await?;
        measured.take(tally);
        Ok(measured)
    }

    /// Fills the fleet, measures, and waits for the last answers.
    async fn load(&self, cluster: &Cluster, leader: &str, data_dir: &Path) -> Result<(Measured, Vec<Tally>)> {
        let control = Rc::new(Control { stop: Cell::new(false), acknowledged: Cell::new(0) });
        let (mut lanes, mut tallies) = (Vec::new(), Vec::new());
        let connections = self.args.connections();
        for at in 0..connections {
            let tally = Rc::new(RefCell::new(Tally::new()?));
            let lane = Lane {
                channel: connect::lazily(leader)?,
                supply: Supply::new(self.apps, &format!("c{at}"), at as u64 + 1),
                window: self.args.in_flight().div_ceil(connections),
                standing: self.args.standing() as usize / connections,
                control: Rc::clone(&control),
                tally: Rc::clone(&tally),
            };
            tallies.push(tally);
            lanes.push(match self.args.mode {
                Mode::Stream => tokio::task::spawn_local(stream::run(lane)),
                Mode::Unary => tokio::task::spawn_local(unary::run(lane)),
            });
        }
        self.fill(&tallies, &lanes).await?;
        tallies.iter().for_each(|tally| tally.borrow_mut().restart());
        control.acknowledged.set(0);
        let mut meter = Meter::start(&cluster.pids(), data_dir)?;
        let end = Instant::now() + Duration::from_secs(u64::from(self.args.seconds));
        while Instant::now() < end {
            tokio::time::sleep(meter.until_next()).await;
            meter.look(control.acknowledged.get());
            if let Some(lane) = lanes.iter().position(tokio::task::JoinHandle::is_finished) {
                let ended = lanes.swap_remove(lane).await.context("a connection's task failed")?;
                ended.context("a connection ended before the time was over")?;
                bail!("a connection ended before the time was over");
            }
        }
        let mut measured = meter.stop(control.acknowledged.get())?;
        measured.count(&tallies);
        control.stop.set(true);
        for lane in lanes {
            let ended = tokio::time::timeout(DRAIN * 2, lane).await.context("a connection does not end")?;
            ended.context("a connection's task failed")??;
        }
        let tallies = tallies.into_iter().map(|tally| Ok(tally.replace(Tally::new()?))).collect::<Result<_>>()?;
        Ok((measured, tallies))
    }

    async fn fill(&self, tallies: &[Rc<RefCell<Tally>>], lanes: &[tokio::task::JoinHandle<Result<()>>]) -> Result<()> {
        let deadline = Instant::now() + FILL_TIMEOUT;
        loop {
            let standing: u64 = tallies.iter().map(|tally| tally.borrow().standing.len() as u64).sum();
            if standing + self.args.connections() as u64 >= self.args.standing() {
                return Ok(());
            }
            let first_error = || tallies.iter().find_map(|tally| tally.borrow().first_error.clone());
            if Instant::now() > deadline || lanes.iter().any(tokio::task::JoinHandle::is_finished) {
                let want = self.args.standing();
                bail!("the fleet was not filled: {standing} of {want} machines stand; {:?}", first_error());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn audit(&self, cluster: &Cluster, tally: &Tally) -> Result<Findings> {
        let replicas = audit::replicas::read(cluster).await?;
        let standing: HashMap<u64, u64> = tally.standing.iter().map(|reserved| (reserved.id, reserved.fence)).collect();
        let in_doubt: HashSet<u64> = tally.in_doubt.iter().copied().collect();
        Ok(audit::audit_standing(self.hosts, &standing, &in_doubt, &replicas))
    }
}

/// Its address, and the term.
async fn leader(cluster: &Cluster) -> Result<(String, u64)> {
    let leader = cluster.leader().await?;
    let status = cluster.status(leader, false).await?;
    Ok((status.leader_addr, status.term))
}
