//! How long a large cluster needs to be whole again, and what a snapshot costs those who place meanwhile.
//!
//! Three servers hold a fleet with many reservations. A few callers place and release at a fixed rate all the time; each placement's
//! wait is kept, so that the time while a snapshot is written, sent, or while states are compared can be held against the rest.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Retry};
use serde_json::{Value, json};

mod callers;
mod fill;

use self::callers::Callers;
pub use self::callers::Sample;
use crate::{
    catalogue::Catalogue,
    cluster::{self, Cluster},
    failover::at,
    fleet, report,
    throughput::register,
};

const POLL: Duration = Duration::from_millis(20);
/// Nothing that is measured here may take longer.
const PATIENCE: Duration = Duration::from_secs(180);
/// A snapshot is taken so often while calm and busy times are compared.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(12);

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Machines that stand.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=2_000_000))]
    pub reservations: u64,
    /// Hosts of eight GPUs.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=200_000))]
    pub hosts: u32,
    /// How long placements are watched beside snapshots.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(15..=600))]
    pub seconds: u32,
    /// Placements a second, of all callers.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=5_000))]
    pub rate: u32,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
    /// Where the page goes, and the servers' data.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    pub out: PathBuf,
}

/// What happens beside the placements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    Nothing,
    /// Some server writes a snapshot.
    Taking,
    /// States are compared.
    Comparing,
    /// A snapshot is sent to a new server, and installed there.
    Sending,
}

/// A part of the run in which one thing happened.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub beside: Beside,
    pub from: Instant,
    pub until: Instant,
}

#[derive(Debug)]
pub struct Measured {
    pub begun: Instant,
    pub reservations: u64,
    pub hosts: u64,
    pub fill_s: f64,
    pub snapshot_mb: f64,
    pub restart_s: f64,
    pub rejoin_s: f64,
    pub all_restart_s: f64,
    pub samples: Vec<Sample>,
    pub spans: Vec<Span>,
}

impl Measured {
    /// Waits of the placements that began or ended beside this, in milliseconds, sorted. A placement that has several things
    /// beside it counts for the last of [`Beside`].
    pub fn waits(&self, beside: Beside) -> Vec<f64> {
        let mut waits: Vec<f64> =
            self.samples.iter().filter(|sample| self.beside(sample) == beside).map(Sample::wait_ms).collect();
        waits.sort_by(f64::total_cmp);
        waits
    }

    fn beside(&self, sample: &Sample) -> Beside {
        let met = self.spans.iter().filter(|span| sample.called <= span.until && sample.answered >= span.from);
        met.map(|span| span.beside).max_by_key(|beside| *beside as u8).unwrap_or(Beside::Nothing)
    }

    /// The 99th percentile beside something, as a multiple of that beside nothing.
    pub fn ratio(&self, beside: Beside) -> f64 {
        at(&self.waits(beside), 99.0) / at(&self.waits(Beside::Nothing), 99.0).max(0.001)
    }

    pub fn json(&self) -> Value {
        let p99 = |beside| round(at(&self.waits(beside), 99.0));
        json!({
            "reservations": self.reservations,
            "hosts": self.hosts,
            "restart_s": round(self.restart_s),
            "rejoin_s": round(self.rejoin_s),
            "all_restart_s": round(self.all_restart_s),
            "fill_s": round(self.fill_s),
            "snapshot_mb": round(self.snapshot_mb),
            "p99_ms": p99(Beside::Nothing),
            "p99_taking_ms": p99(Beside::Taking),
            "p99_comparing_ms": p99(Beside::Comparing),
            "p99_sending_ms": p99(Beside::Sending),
            "taking_ratio": round(self.ratio(Beside::Taking)),
            "comparing_ratio": round(self.ratio(Beside::Comparing)),
            "sending_ratio": round(self.ratio(Beside::Sending)),
            "placements": self.samples.len(),
        })
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

pub async fn run(args: Args) -> Result<()> {
    let binary = cluster::binary::find()?;
    // No log is kept for a new member: it gets a snapshot.
    let every = SNAPSHOT_EVERY.as_secs();
    let config = format!("[snapshots]\nafter_seconds = {every}\nkeep_bytes = 0\nkeep_entries = 0\n");
    let mut cluster = Cluster::start_configured(&binary, &args.out, &config).await?;
    let measured = play(&args, &mut cluster).await;
    let measured = cluster.keep_if_failed(measured)?;
    drop(cluster.stop(false));
    let page = args.out.join("recovery.html");
    report::write(&page, &report::recovery_page::draw(&measured))?;
    if args.json {
        println!("{}", measured.json());
    } else {
        println!("{:#}\nreport: {}", measured.json(), page.display());
    }
    Ok(())
}

async fn play(args: &Args, cluster: &mut Cluster) -> Result<Measured> {
    let begun = Instant::now();
    let say = |what: &str| eprintln!("{:7.1} s  {what}", begun.elapsed().as_secs_f64());
    let hosts = fleet::uniform(args.hosts as usize)?;
    let leader = cluster.leader().await?;
    let addr = cluster.status(leader, false).await?.leader_addr;
    let catalogue = Catalogue::built_in()?;
    say(&format!("registering {} hosts", report::grouped(hosts.len() as u64)));
    register(&addr, &hosts, &catalogue.apps(1), &catalogue).await?;
    say(&format!("placing {} machines", report::grouped(args.reservations)));
    fill::run(cluster.client(), args.reservations, &say).await?;
    cluster.level(PATIENCE).await?;
    let fill_s = begun.elapsed().as_secs_f64();

    say("placing beside snapshots");
    let callers = Callers::start(cluster.addrs(), args.rate)?;
    let mut spans = beside_snapshots(cluster, Duration::from_secs(args.seconds.into())).await?;
    say("placing while states are compared");
    spans.push(while_comparing(cluster).await?);

    say("one server is killed, and started again");
    let follower = a_follower(cluster).await?;
    cluster.kill(follower)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let restart_s = restart(cluster, follower).await?;
    say(&format!("it serves after {restart_s:.2} s; another is lost with its disk, and a new one takes its place"));
    let lost = a_follower(cluster).await?;
    cluster.kill(lost)?;
    let from = Instant::now();
    let joined = cluster.join_server(Some(lost)).await?;
    let rejoin_s = from.elapsed().as_secs_f64();
    spans.push(Span { beside: Beside::Sending, from, until: Instant::now() });
    cluster.forget(lost)?;
    say(&format!("node {joined} votes after {rejoin_s:.1} s; all are killed, and started again"));
    let samples = callers.stop().await?;
    let snapshot_mb = snapshot_bytes(cluster, joined)? as f64 / 1e6;
    let all_restart_s = restart_all(cluster).await?;
    say(&format!("the first placement is answered after {all_restart_s:.2} s"));
    let status = cluster.status(cluster.leader().await?, false).await?;
    Ok(Measured {
        begun,
        reservations: status.reservations,
        hosts: status.hosts,
        fill_s,
        snapshot_mb,
        restart_s,
        rejoin_s,
        all_restart_s,
        samples,
        spans,
    })
}

async fn a_follower(cluster: &Cluster) -> Result<u64> {
    let leader = cluster.leader().await?;
    cluster.ids().into_iter().find(|id| *id != leader).context("a cluster of three has followers")
}

/// Watches for snapshots that any server writes: the times in which an unfinished file lies in its directory.
async fn beside_snapshots(cluster: &Cluster, time: Duration) -> Result<Vec<Span>> {
    let dirs = cluster.ids().into_iter().map(|id| Ok(cluster.data_of(id)?.join("snapshots")));
    let dirs: Vec<PathBuf> = dirs.collect::<Result<_>>()?;
    let is_writing = || dirs.iter().any(|dir| unfinished(dir));
    let (mut spans, mut since) = (Vec::new(), None);
    let end = Instant::now() + time;
    while Instant::now() < end || since.is_some() {
        match (is_writing(), since) {
            (true, None) => since = Some(Instant::now()),
            (false, Some(from)) => {
                spans.push(Span { beside: Beside::Taking, from, until: Instant::now() });
                since = None;
            }
            _ => {}
        }
        tokio::time::sleep(POLL / 4).await;
    }
    if spans.is_empty() {
        bail!("no server took a snapshot in {} s", time.as_secs());
    }
    Ok(spans)
}

fn unfinished(dir: &std::path::Path) -> bool {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    names.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|extension| extension == "tmp"))
}

async fn while_comparing(cluster: &Cluster) -> Result<Span> {
    let from = Instant::now();
    let verified = cluster.client().verify().await.context("states were not compared")?;
    if verified.members.iter().any(|member| !member.failed.is_empty() || member.differs) {
        bail!("the members' states are not compared: {verified:?}");
    }
    Ok(Span { beside: Beside::Comparing, from, until: Instant::now() })
}

/// Seconds until a server that was ended serves: a placement that is sent to it is answered, and it holds what was committed
/// when it was started.
async fn restart(cluster: &mut Cluster, id: u64) -> Result<f64> {
    let leader = cluster.leader().await?;
    let committed = cluster.status(leader, false).await?.committed;
    let begun = Instant::now();
    cluster.launch(id)?;
    loop {
        // One that knows no other node: this one passes the call on.
        let client = Client::new([cluster.addr(id)?])?.with_retry(Retry::default().never());
        let serves = client.place(callers::request(format!("restart-{}", begun.elapsed().as_micros()))).await.is_ok();
        if serves && cluster.status(id, false).await?.applied >= committed {
            return Ok(begun.elapsed().as_secs_f64());
        }
        if begun.elapsed() > PATIENCE {
            bail!("node {id} does not serve: {}", cluster.log_of(id)?);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Seconds from the start of all servers, which were killed at once, to the first answer.
async fn restart_all(cluster: &mut Cluster) -> Result<f64> {
    for id in cluster.ids() {
        cluster.kill(id)?;
    }
    let begun = Instant::now();
    for id in cluster.ids() {
        cluster.launch(id)?;
    }
    let client = Client::new(cluster.addrs())?;
    loop {
        if client.place(callers::request(format!("all-{}", begun.elapsed().as_micros()))).await.is_ok() {
            return Ok(begun.elapsed().as_secs_f64());
        }
        if begun.elapsed() > PATIENCE {
            bail!("no placement is answered after a restart of all servers");
        }
        tokio::time::sleep(POLL).await;
    }
}

fn snapshot_bytes(cluster: &Cluster, id: u64) -> Result<u64> {
    let dir = cluster.data_of(id)?.join("snapshots");
    let files = std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let sizes = files.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len());
    Ok(sizes.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_counts_for_what_it_had_beside_it() {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let sample = |from, until| Sample { called: after(from), answered: after(until) };
        let span = |beside, from, until| Span { beside, from: after(from), until: after(until) };
        let measured = Measured {
            begun,
            reservations: 0,
            hosts: 0,
            fill_s: 0.0,
            snapshot_mb: 0.0,
            restart_s: 1.234,
            rejoin_s: 0.0,
            all_restart_s: 0.0,
            samples: vec![sample(0, 2), sample(9, 13), sample(20, 28), sample(50, 51)],
            spans: vec![span(Beside::Taking, 10, 25), span(Beside::Sending, 26, 30)],
        };
        assert_eq!(measured.waits(Beside::Nothing), [1.0, 2.0]);
        assert_eq!((measured.waits(Beside::Taking), measured.waits(Beside::Sending)), (vec![4.0], vec![8.0]));
        let json = measured.json();
        assert_eq!((json["restart_s"].as_f64(), json["taking_ratio"].as_f64()), (Some(1.23), Some(2.0)));
    }
}
