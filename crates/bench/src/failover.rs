//! How long nobody gets an answer when the leader is killed, is cut off, or hands over.
//!
//! One caller places a machine after the other, through a client that knows all three servers. A trial's gap is the time from
//! the fault to the answer of the first placement that was called after it: nothing that was on its way before counts.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use gantry_proto::v1;
use serde_json::{Value, json};

mod caller;

use self::caller::Caller;
use crate::{
    audit::{self, Findings},
    catalogue::Catalogue,
    cluster::{self, Cluster, links::Links},
    fleet,
    report::failover_page,
    throughput::register,
};

const HOSTS: usize = 64;
/// A trial begins when all servers follow one leader, and a random time later: faults must not fall into step with heartbeats.
const CALM_WITHIN: Duration = Duration::from_secs(30);
const CALM_POLL: Duration = Duration::from_millis(20);
const RANDOM_MS: u64 = 250;
/// Log entries that a server may lack and still count as caught up.
const BEHIND: u64 = 64;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Faults: the leader is killed and cut off in turn.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub trials: u32,
    /// Planned handovers, by command and by SIGTERM in turn.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub handovers: u32,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
    /// Where the page goes, and the servers' data.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    pub out: PathBuf,
}

/// What happens to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Killed,
    /// Its peers do not hear it any more, nor it them; callers do.
    CutOff,
    /// It is told to hand over.
    Asked,
    /// SIGTERM: it hands over and ends.
    Stopped,
}

/// What the trials came to.
#[derive(Debug, Default)]
pub struct Measured {
    /// Gaps in milliseconds, by fault, in the order of the trials.
    pub trials: Vec<(Fault, f64)>,
    /// Terms that passed in all.
    pub terms: u64,
    pub placed: u64,
    pub findings: Findings,
}

impl Measured {
    /// Sorted.
    pub fn gaps(&self, faults: &[Fault]) -> Vec<f64> {
        let mut gaps: Vec<f64> =
            self.trials.iter().filter(|(fault, _)| faults.contains(fault)).map(|(_, gap)| *gap).collect();
        gaps.sort_by(f64::total_cmp);
        gaps
    }

    /// Elections that no fault and no handover called for.
    pub fn surplus(&self) -> u64 {
        self.terms.saturating_sub(self.trials.len() as u64)
    }

    pub fn json(&self) -> Value {
        let (lost, asked) = (self.gaps(&[Fault::Killed, Fault::CutOff]), self.gaps(&[Fault::Asked, Fault::Stopped]));
        let of = |fault| {
            let gaps = self.gaps(&[fault]);
            json!({ "p50_ms": round(at(&gaps, 50.0)), "p99_ms": round(at(&gaps, 99.0)), "max_ms": round(at(&gaps, 100.0)) })
        };
        json!({
            "p50_ms": round(at(&lost, 50.0)),
            "p99_ms": round(at(&lost, 99.0)),
            "max_ms": round(at(&lost, 100.0)),
            "handover_ms": round(at(&asked, 100.0)),
            "handover_p50_ms": round(at(&asked, 50.0)),
            "trials": lost.len(),
            "handovers": asked.len(),
            "killed": of(Fault::Killed),
            "cut_off": of(Fault::CutOff),
            "asked": of(Fault::Asked),
            "stopped": of(Fault::Stopped),
            "surplus_elections": self.surplus(),
            "placed": self.placed,
            "audit": { "kept": self.findings.kept() },
        })
    }
}

/// The smallest value that so many percent do not exceed. Of none it is nothing.
pub fn at(sorted: &[f64], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

pub(crate) fn round(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

pub async fn run(args: Args) -> Result<()> {
    let binary = cluster::binary::find()?;
    let links = Links::default();
    let mut cluster = Cluster::start_linked(&binary, &args.out, &links).await?;
    let measured = play(&args, &mut cluster, &links).await;
    let measured = cluster.keep_if_failed(measured)?;
    let kept = measured.findings.kept();
    let data = cluster.stop(!kept);
    let page = args.out.join("failover.html");
    crate::report::write(&page, &failover_page::draw(&measured))?;
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

async fn play(args: &Args, cluster: &mut Cluster, links: &Links) -> Result<Measured> {
    let hosts = fleet::uniform(HOSTS)?;
    let leader = cluster.leader().await?;
    let addr = cluster.status(leader, false).await?.leader_addr;
    let catalogue = Catalogue::built_in()?;
    register(&addr, &hosts, &catalogue.apps(1), &catalogue).await?;
    let caller = Caller::start(cluster.addrs())?;
    let mut measured = Measured::default();
    let first = calm(cluster).await?.term;
    for trial in 0..args.trials + args.handovers {
        let (one, other) =
            if trial < args.trials { (Fault::Killed, Fault::CutOff) } else { (Fault::Asked, Fault::Stopped) };
        let fault = if trial % 2 == 0 { one } else { other };
        let gap =
            trial_of(fault, cluster, links, &caller).await.with_context(|| format!("trial {trial}: {fault:?}"))?;
        if !args.json {
            eprintln!("trial {:3} {fault:?}: {gap:.1} ms", trial + 1);
        }
        measured.trials.push((fault, gap));
    }
    measured.terms = calm(cluster).await?.term - first;
    let (standing, placed) = caller.stop().await?;
    measured.placed = placed;
    let replicas = audit::replicas::read(cluster).await?;
    measured.findings = audit::audit_standing(&hosts, &standing, &Default::default(), &replicas);
    Ok(measured)
}

/// One fault, and its repair. Returns the gap.
async fn trial_of(fault: Fault, cluster: &mut Cluster, links: &Links, caller: &Caller) -> Result<f64> {
    let leader = calm(cluster).await?.node_id;
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..RANDOM_MS))).await;
    let begun = Instant::now();
    match fault {
        Fault::Killed => {
            cluster.kill(leader)?;
            let gap = caller.gap(begun, Instant::now()).await?;
            cluster.restart(leader).await?;
            Ok(gap)
        }
        Fault::CutOff => {
            links.cut_off(leader, cluster.pid(leader)?);
            let gap = caller.gap(begun, Instant::now()).await;
            links.heal();
            gap
        }
        Fault::Asked => {
            cluster.client().transfer_leader(v1::TransferLeaderRequest { to: 0 }).await?;
            caller.longest(begun, Instant::now()).await
        }
        Fault::Stopped => {
            cluster.terminate(leader).await?;
            let gap = caller.longest(begun, Instant::now()).await?;
            cluster.restart(leader).await?;
            Ok(gap)
        }
    }
}

/// Waits until all servers follow one leader and have what it has; the leader's status.
pub(crate) async fn calm(cluster: &Cluster) -> Result<v1::StatusResponse> {
    let deadline = Instant::now() + CALM_WITHIN;
    loop {
        let asked = cluster.ids().into_iter().map(|id| cluster.status(id, false));
        let seen = futures::future::try_join_all(asked).await;
        let leads = seen.as_ref().ok().and_then(|all| all.iter().find(|one| one.role == "leader"));
        let is_calm = |leader: &v1::StatusResponse| {
            let all = seen.as_deref().unwrap_or_default();
            all.iter().all(|one| one.leader_id == leader.node_id && one.applied + BEHIND >= leader.committed)
        };
        match leads.filter(|leader| is_calm(leader)) {
            Some(leader) => return Ok(leader.clone()),
            None if Instant::now() > deadline => bail!("the servers do not come to rest: {seen:?}"),
            None => tokio::time::sleep(CALM_POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_of_its_rank() {
        let gaps: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([50.0, 99.0, 100.0].map(|percent| at(&gaps, percent)), [50.0, 99.0, 100.0]);
        assert_eq!((at(&[7.0], 50.0), at(&[], 99.0)), (7.0, 0.0));
    }

    #[test]
    fn the_last_line_has_the_worst_handover() {
        let trials = vec![(Fault::Killed, 300.04), (Fault::CutOff, 400.0), (Fault::Asked, 9.0), (Fault::Stopped, 30.0)];
        let measured = Measured { trials, terms: 5, ..Measured::default() };
        let json = measured.json();
        assert_eq!((json["p50_ms"].as_f64(), json["max_ms"].as_f64()), (Some(300.0), Some(400.0)));
        assert_eq!((json["handover_ms"].as_f64(), json["surplus_elections"].as_u64()), (Some(30.0), Some(1)));
    }
}
