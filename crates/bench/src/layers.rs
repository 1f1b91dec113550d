//! What layer knowledge is worth: one experiment with real images and tag moves, for Gantry's policy and five known ones.
//!
//! Downloads only: no unpacking, no contention between hosts, and nothing fetched before a machine needs it but where that is
//! asked for. Every choice is drawn from a seed, and every policy meets the same arrivals.

use std::{path::PathBuf, str::FromStr, thread};

use anyhow::{Context, Result, bail};
use tokio::sync::oneshot;

mod files;
mod fleet;
mod gantry;
mod known;
mod page;
mod results;
mod simulate;
#[cfg(test)]
mod tests;
mod workload;

use self::{
    fleet::Fleet,
    results::Results,
    simulate::{Outcome, Policy},
    workload::{Scenario, Workload},
};
use crate::cluster;

const GB: u64 = 1_000_000_000;

/// Seeds from the first to the last, as in `1..3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    first: u64,
    last: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number =
            |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a seed; expected 1..3 or 7"));
        let seeds = Self { first: number(first)?, last: number(last)? };
        match seeds.last.checked_sub(seeds.first) {
            Some(0..100) => Ok(seeds),
            _ => Err(format!("{text} does not name 1 to 100 seeds")),
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Files of images, one JSON object a line; `.zst` is decompressed. The platform with the most lines is used.
    #[arg(long, required = true, num_args = 1..)]
    pub images: Vec<PathBuf>,
    /// When tags moved, as CSV; without it every repository is an app whose images follow each other.
    #[arg(long)]
    pub events: Option<PathBuf>,
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub hosts: u32,
    /// Machines that a host runs at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub slots: u32,
    /// A host's cache of layers.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub cache_gb: u64,
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub link_mb_per_s: u64,
    /// Machines of one image that start together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub burst: u32,
    /// Arrivals are drawn from each; figures are the means.
    #[arg(long, default_value = "1..3")]
    pub seeds: Seeds,
    /// Also Gantry's policy with hosts that fetch ahead as the cluster advises; all that is fetched counts.
    #[arg(long)]
    pub cache_advice: bool,
    /// Machines in all, of which the first fifth is not counted.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub starts: u32,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
    /// Where the page goes.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    pub out: PathBuf,
}

pub async fn run(args: Args) -> Result<()> {
    // On a thread of its own, so that a signal is heard while it computes.
    let (done, wait) = oneshot::channel();
    let thread = thread::Builder::new().name("layers".into());
    thread.spawn(move || done.send(measure(&args))).context("cannot start a thread")?;
    wait.await.context("the experiment's thread failed")?
}

fn measure(args: &Args) -> Result<()> {
    let say = |what: &str| {
        if !args.json {
            eprintln!("{what}");
        }
    };
    let files = files::read(&args.images, args.events.as_deref())?;
    let scenario = Scenario::new(&files)?;
    say(&format!("{} apps with {} images", scenario.apps.len(), scenario.images.len()));
    let results = play(args, &scenario, &say)?;
    let page = args.out.join(format!("layers-burst-{}.html", args.burst));
    crate::report::write(&page, &page::draw(args, &results))?;
    say(&format!("{}\nreport: {}", results.table(), page.display()));
    if args.json {
        println!("{}", results.json(args));
    }
    Ok(())
}

/// Every policy on every seed, on as many threads as there are processors.
fn play(args: &Args, scenario: &Scenario, say: &dyn Fn(&str)) -> Result<Results> {
    let seeds: Vec<u64> = (args.seeds.first..=args.seeds.last).collect();
    let slots = u64::from(args.hosts) * u64::from(args.slots);
    let workloads: Vec<Workload> =
        seeds.iter().map(|&seed| Workload::new(scenario, seed, slots, args.burst, args.starts as usize)).collect();
    let mut results = Results::new(scenario, &workloads, args.link_mb_per_s);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let advised = args.cache_advice.then_some(Policy::ADVISED);
    for (name, policy) in Policy::ALL.into_iter().chain(advised) {
        let mut outcomes = Vec::with_capacity(seeds.len());
        for jobs in seeds.iter().zip(&workloads).collect::<Vec<_>>().chunks(threads) {
            outcomes.extend(together(args, scenario, policy, jobs)?);
        }
        results.add(name, &outcomes);
        say(&format!("{name}: {} seeds done", seeds.len()));
    }
    Ok(results)
}

fn together(args: &Args, scenario: &Scenario, policy: Policy, jobs: &[(&u64, &Workload)]) -> Result<Vec<Outcome>> {
    thread::scope(|scope| {
        let mut running = Vec::with_capacity(jobs.len());
        for &(&seed, workload) in jobs {
            let layer_bytes = scenario.layer_bytes.clone();
            let (hosts, cache_bytes) = (args.hosts as usize, args.cache_gb * GB);
            let fleet = Fleet::new(hosts, args.slots, cache_bytes, args.link_mb_per_s, layer_bytes);
            running.push(scope.spawn(move || simulate::run(policy, scenario, workload, fleet, seed)));
        }
        let joined = running.into_iter().map(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a run failed"),
        });
        joined.collect()
    })
}
