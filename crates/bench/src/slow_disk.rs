//! What one slow disk of three costs: a follower's, whose syncs take long, and the leader's, until another node leads.
//!
//! A shim between each server and its disk delays syncs. Rounds with and without a slow follower take turns, so that what else
//! the machine does falls on both.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

pub mod load;

use self::load::{Load, Phase};
use crate::{
    audit::{self, Findings},
    catalogue::Catalogue,
    cluster::{
        self, Cluster,
        shim::{Act, Shim},
    },
    failover::{at, calm, round},
    fleet,
    report::slow_disk_page,
    throughput::register,
};

const HOSTS: usize = 128;
const NODES: u64 = 3;
/// Until the load, and what was measured before, have settled.
const SETTLE: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(5);
/// A leader that has not moved by then does not.
const PATIENCE: Duration = Duration::from_secs(20);
/// After a move, until the disks' times of before are forgotten.
const FORGET: Duration = Duration::from_secs(6);

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Rounds with a slow follower, and as many without.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Of each round.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Times that the leader's disk becomes slow.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub moves: u32,
    /// So much longer a sync of a slow disk takes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub delay_ms: u32,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
    /// Where the page goes, and the servers' data.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    pub out: PathBuf,
}

/// What a run came to. Times are in milliseconds, sorted.
#[derive(Debug, Default)]
pub struct Measured {
    pub delay_ms: u32,
    /// What a placement took while all disks worked, while a follower's was slow, and while the leader's was.
    pub all_work: Vec<f64>,
    pub follower_slow: Vec<f64>,
    pub leader_slow: Vec<f64>,
    /// From the moment at which the leader's disk became slow to another leader.
    pub moves: Vec<f64>,
    pub placed: u64,
    pub findings: Findings,
}

impl Measured {
    /// The p99 with a slow follower, as a multiple of that without.
    pub fn ratio(&self) -> f64 {
        at(&self.follower_slow, 99.0) / at(&self.all_work, 99.0).max(f64::MIN_POSITIVE)
    }

    pub fn json(&self) -> Value {
        json!({
            "delay_ms": self.delay_ms,
            "baseline_p50_ms": round(at(&self.all_work, 50.0)),
            "baseline_p99_ms": round(at(&self.all_work, 99.0)),
            "follower_slow_p50_ms": round(at(&self.follower_slow, 50.0)),
            "follower_slow_p99_ms": round(at(&self.follower_slow, 99.0)),
            "p99_ratio": (self.ratio() * 1_000.0).round() / 1_000.0,
            "leader_move_p50_ms": round(at(&self.moves, 50.0)),
            "leader_move_max_ms": round(at(&self.moves, 100.0)),
            "leader_slow_max_ms": round(at(&self.leader_slow, 100.0)),
            "moves": self.moves.len(),
            "placed": self.placed,
            "audit": { "kept": self.findings.kept() },
        })
    }
}

pub async fn run(args: Args) -> Result<()> {
    let binary = cluster::binary::find()?;
    let mut cluster = Cluster::prepare(&binary, &args.out, NODES)?;
    let dir = tempfile::tempdir_in(&args.out).context("cannot create a directory for the shim")?;
    let shim = Shim::compile(dir.path())?;
    for id in 1..=NODES {
        shim.attach(&mut cluster, id)?;
    }
    let mut cluster = cluster.formed().await?;
    let measured = play(&args, &cluster, &shim).await;
    let measured = cluster.keep_if_failed(measured)?;
    let kept = measured.findings.kept();
    let data = cluster.stop(!kept);
    let page = args.out.join("slow-disk.html");
    crate::report::write(&page, &slow_disk_page::draw(&measured))?;
    measured.findings.described.iter().for_each(|what| eprintln!("{what}"));
    if args.json {
        println!("{}", measured.json());
    } else {
        println!("{:#}\nreport: {}", measured.json(), page.display());
    }
    match data {
        Some(dir) => bail!("what was acknowledged was not kept; the servers' data and logs stay in {}", dir.display()),
        None => Ok(()),
    }
}

async fn play(args: &Args, cluster: &Cluster, shim: &Shim) -> Result<Measured> {
    let hosts = fleet::uniform(HOSTS)?;
    let leader = cluster.leader().await?;
    let addr = cluster.status(leader, false).await?.leader_addr;
    let catalogue = Catalogue::built_in()?;
    register(&addr, &hosts, &catalogue.apps(1), &catalogue).await?;
    let load = Load::start(&cluster.addrs())?;
    let mut measured = Measured { delay_ms: args.delay_ms, ..Measured::default() };
    for pair in 0..args.rounds {
        // The order changes, too.
        let (first, second) = (Phase::AllWork, Phase::FollowerSlow);
        let order = if pair % 2 == 0 { [first, second] } else { [second, first] };
        for phase in order {
            round_of(phase, args, cluster, shim, &load).await?;
        }
    }
    for _ in 0..args.moves {
        let took = move_of(args, cluster, shim, &load).await?;
        if !args.json {
            eprintln!("another node leads after {took:.0} ms");
        }
        measured.moves.push(took);
    }
    let seen = load.stop().await?;
    let of = |phase: Phase| {
        let times = seen.took_ms.iter().filter(|(of, _)| *of == phase).map(|(_, ms)| *ms);
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        times
    };
    (measured.all_work, measured.follower_slow) = (of(Phase::AllWork), of(Phase::FollowerSlow));
    measured.leader_slow = of(Phase::LeaderSlow);
    measured.moves.sort_by(f64::total_cmp);
    measured.placed = seen.placed;
    let replicas = audit::replicas::read(cluster).await?;
    measured.findings = audit::audit_standing(&hosts, &seen.standing, &Default::default(), &replicas);
    Ok(measured)
}

/// Lets the load go on with all disks working, or with that of one follower slow.
async fn round_of(phase: Phase, args: &Args, cluster: &Cluster, shim: &Shim, load: &Load) -> Result<()> {
    let leader = calm(cluster).await?.node_id;
    let follower = cluster.ids().into_iter().find(|id| *id != leader).context("there are followers")?;
    if phase == Phase::FollowerSlow {
        shim.tell(follower, Act::Delay { ms: args.delay_ms })?;
    }
    tokio::time::sleep(SETTLE).await;
    load.enter(phase);
    tokio::time::sleep(Duration::from_secs(u64::from(args.seconds))).await;
    load.enter(Phase::Between);
    shim.tell(follower, Act::Work)?;
    ensure!(cluster.leader().await? == leader, "another node leads: a slow follower is no reason for that");
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

/// Makes the leader's disk slow, and gives the milliseconds until another node leads.
async fn move_of(args: &Args, cluster: &Cluster, shim: &Shim, load: &Load) -> Result<f64> {
    tokio::time::sleep(FORGET).await;
    let leader = calm(cluster).await?.node_id;
    load.enter(Phase::LeaderSlow);
    let begun = Instant::now();
    shim.tell(leader, Act::Delay { ms: args.delay_ms })?;
    while cluster.leader().await? == leader {
        ensure!(begun.elapsed() < PATIENCE, "node {leader} goes on leading with a slow disk");
        tokio::time::sleep(POLL).await;
    }
    let took = begun.elapsed().as_secs_f64() * 1_000.0;
    tokio::time::sleep(SETTLE).await;
    load.enter(Phase::Between);
    shim.tell(leader, Act::Work)?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_the_ratio_of_the_tails_and_the_longest_move() {
        let measured = Measured {
            delay_ms: 100,
            all_work: (1..=100).map(f64::from).collect(),
            follower_slow: (1..=100).map(|ms| f64::from(ms) * 1.1).collect(),
            moves: vec![700.0, 1_250.04],
            ..Measured::default()
        };
        let json = measured.json();
        assert_eq!((json["baseline_p99_ms"].as_f64(), json["p99_ratio"].as_f64()), (Some(99.0), Some(1.1)));
        assert_eq!(json["leader_move_max_ms"].as_f64(), Some(1_250.0));
    }
}
