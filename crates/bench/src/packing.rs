//! How much of a fleet's GPU is given out when it is full: the saturation experiment of "Beware of Fragmentation"
//! (Weng et al., USENIX ATC '23) on its own traces, with its policies beside ours.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

pub mod experiment;
mod fleet;
mod policy;
pub mod trace;

use self::{experiment::Run, trace::Trace};
use crate::{cluster, report};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Node list of an openb trace: `sn,cpu_milli,memory_mib,gpu,model`.
    #[arg(long)]
    nodes: PathBuf,
    /// Pod list of an openb trace: `name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec...]`; may be compressed by zstd.
    #[arg(long)]
    pods: PathBuf,
    /// Runs, each with pods and nodes in another order: `42..51` is both and all between.
    #[arg(long, default_value = "42..51", value_parser = trace::seeds)]
    seeds: std::ops::RangeInclusive<u64>,
    /// Only these policies.
    #[arg(long, value_delimiter = ',')]
    policies: Vec<String>,
    /// Print one JSON object as the last line, and no progress.
    #[arg(long)]
    json: bool,
    /// Where the page goes.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    out: PathBuf,
}

/// What a policy came to, over all seeds.
#[derive(Debug)]
pub struct Outcome {
    pub name: &'static str,
    pub runs: Vec<Run>,
}

/// All of it.
#[derive(Debug)]
pub struct Results {
    pub pods: String,
    pub nodes: usize,
    pub gpus: u64,
    pub seeds: std::ops::RangeInclusive<u64>,
    pub outcomes: Vec<Outcome>,
}

pub async fn run(args: Args) -> Result<()> {
    let trace = Trace::read(&args.nodes, &args.pods)?;
    let known = policy::POLICIES.iter().map(|policy| policy.name).collect::<Vec<_>>();
    for name in &args.policies {
        ensure!(known.contains(&name.as_str()), "there is no policy {name}: use some of {}", known.join(", "));
    }
    let chosen = |policy: &&policy::Policy| args.policies.is_empty() || args.policies.iter().any(|n| n == policy.name);
    let policies: Vec<&policy::Policy> = policy::POLICIES.iter().filter(chosen).collect();
    let outcomes = all(&trace, &policies, args.seeds.clone(), args.json)?;
    let pods = args.pods.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let results = Results { pods, nodes: trace.nodes.len(), gpus: trace.gpus(), seeds: args.seeds, outcomes };
    let page = args.out.join("packing.html");
    report::write(&page, &report::packing_page::draw(&results))?;
    if args.json {
        println!("{}", results.json());
    } else {
        println!("{}\nreport: {}", results.table(), page.display());
    }
    Ok(())
}

/// Every policy with every seed, on as many threads as there are cores.
fn all(
    trace: &Trace,
    policies: &[&policy::Policy],
    seeds: std::ops::RangeInclusive<u64>,
    quiet: bool,
) -> Result<Vec<Outcome>> {
    let work: Vec<(usize, u64)> =
        (0..policies.len()).flat_map(|at| seeds.clone().map(move |seed| (at, seed))).collect();
    ensure!(!work.is_empty(), "no seeds: give some, such as 42..51");
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {eta} left").context("the bar's template")?;
    let bar = ProgressBar::with_draw_target(Some(work.len() as u64), target).with_style(style);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, u64, Run)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&(at, seed)) = work.get(next.fetch_add(1, Relaxed)) {
                    let run = experiment::run(trace, policies[at], seed);
                    done.lock().expect("no thread panics while it holds the list").push((at, seed, run));
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().context("a run panicked")?;
    done.sort_by_key(|(at, seed, _)| (*at, *seed));
    let mut outcomes: Vec<Outcome> =
        policies.iter().map(|policy| Outcome { name: policy.name, runs: Vec::new() }).collect();
    done.into_iter().for_each(|(at, _, run)| outcomes[at].runs.push(run));
    Ok(outcomes)
}

impl Outcome {
    /// Mean over the seeds of the part of the GPUs that is given out, in percent, when so many percent have arrived.
    pub fn at(&self, arrived: usize) -> f64 {
        self.runs.iter().map(|run| run.allocated[arrived]).sum::<f64>() / self.runs.len() as f64
    }

    /// Standard deviation over the seeds.
    pub fn spread(&self, arrived: usize) -> f64 {
        let mean = self.at(arrived);
        let squares = self.runs.iter().map(|run| (run.allocated[arrived] - mean).powi(2)).sum::<f64>();
        (squares / self.runs.len() as f64).sqrt()
    }

    /// Microseconds for a decision.
    pub fn decision_us(&self) -> f64 {
        self.runs.iter().map(|run| run.decision_us).sum::<f64>() / self.runs.len() as f64
    }
}

impl Results {
    pub fn json(&self) -> serde_json::Value {
        let policies = self.outcomes.iter().map(|outcome| {
            let figures = json!({
                "at_100": hundredths(outcome.at(100)),
                "at_130": hundredths(outcome.at(130)),
                "stdev_100": hundredths(outcome.spread(100)),
                "stdev_130": hundredths(outcome.spread(130)),
                "decision_us": hundredths(outcome.decision_us()),
            });
            (outcome.name.to_owned(), figures)
        });
        json!({
            "pods": self.pods,
            "nodes": self.nodes,
            "gpus": self.gpus,
            "seeds": [self.seeds.start(), self.seeds.end()],
            "policies": policies.collect::<serde_json::Map<_, _>>(),
        })
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["policy", "at 100 % arrived", "at 130 %", "idle GPUs", "µs a decision"]);
        for outcome in &self.outcomes {
            table.add_row([
                outcome.name.to_owned(),
                format!("{:.2} ± {:.2}", outcome.at(100), outcome.spread(100)),
                format!("{:.2} ± {:.2}", outcome.at(130), outcome.spread(130)),
                format!("{:.0}", (100.0 - outcome.at(130)) / 100.0 * self.gpus as f64),
                format!("{:.1}", outcome.decision_us()),
            ]);
        }
        table.to_string()
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
