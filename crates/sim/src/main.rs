//! Runs seeds of the simulator, and says what did not hold. `cargo xtask chaos sim` builds and starts it.

mod page;
mod progress;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use gantry_sim::{BUGS, Bug, Outcome};

use self::progress::Progress;

#[derive(Debug, Parser)]
#[command(about = "Simulates a cluster under faults, seed by seed", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop beginning new seeds after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Put a bug in, to see it found: answer-before-sync, vote-not-durable, dedupe-off, capacity-check-off.
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Write what happened, line by line, into this file. For one seed.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Where the page with the charts goes.
    #[arg(long, default_value = "target/chaos/sim.html")]
    html: PathBuf,
    /// Seeds that run at once; as many as there are processors where it is not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// End with one JSON object.
    #[arg(long)]
    json: bool,
}

fn bug(name: &str) -> Result<Bug, String> {
    let found = BUGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, bug)| *bug).ok_or_else(|| format!("there is no bug {name:?}"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match work(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What came of all seeds.
#[derive(Debug)]
struct Summary {
    outcomes: Vec<Outcome>,
    wall: Duration,
}

impl Summary {
    fn violations(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.violations.is_empty()).count()
    }

    fn simulated_s(&self) -> f64 {
        self.outcomes.iter().map(|outcome| outcome.simulated_ms).sum::<u64>() as f64 / 1e3
    }

    fn ops(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.ops).sum()
    }

    /// Simulated seconds in a second.
    fn speed(&self) -> f64 {
        self.simulated_s() / self.wall.as_secs_f64().max(1e-3)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "seeds": self.outcomes.len(),
            "simulated_hours": (self.simulated_s() / 36.0).round() / 100.0,
            "ops": self.ops(),
            "violations": self.violations(),
            "speed": self.speed().round(),
        })
    }
}

/// True where everything held.
fn work(arguments: &Arguments) -> Result<bool> {
    if arguments.trace.is_some() && arguments.seeds != 1 {
        bail!("--trace is for one seed: add `--seeds 1`");
    }
    let summary = run_all(arguments);
    for outcome in summary.outcomes.iter().filter(|outcome| !outcome.violations.is_empty()) {
        tell(outcome, arguments);
    }
    if let (Some(path), Some(outcome)) = (&arguments.trace, summary.outcomes.first()) {
        std::fs::write(path, &outcome.trace).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("the trace of seed {} is in {}", outcome.seed, path.display());
    }
    page::write(&arguments.html, &summary)?;
    eprintln!("charts: {}", arguments.html.display());
    let (hours, wall) = (summary.simulated_s() / 3_600.0, summary.wall.as_secs_f64());
    println!(
        "{} seeds, {hours:.2} simulated hours in {wall:.1} s ({:.0} times real time), {} answers, {} seeds with violations",
        summary.outcomes.len(),
        summary.speed(),
        summary.ops(),
        summary.violations()
    );
    if arguments.json {
        println!("{}", summary.json());
    }
    Ok(summary.violations() == 0)
}

fn tell(outcome: &Outcome, arguments: &Arguments) {
    for violation in &outcome.violations {
        println!("VIOLATION seed {}, {}: {}: {}", outcome.seed, outcome.scenario, violation.invariant, violation.why);
    }
    let seed = outcome.seed;
    let bug = BUGS.iter().find(|(_, bug)| Some(*bug) == arguments.bug);
    let bug = bug.map_or_else(String::new, |(name, _)| format!(" --bug {name}"));
    println!("  again, with its trace: cargo xtask chaos sim --seed {seed} --seeds 1{bug} --trace trace-{seed}.txt");
}

fn run_all(arguments: &Arguments) -> Summary {
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let begun = Instant::now();
    let deadline = arguments.seconds.map(|seconds| begun + Duration::from_secs(seconds));
    let (next, late) = (AtomicU64::new(0), AtomicBool::new(false));
    let progress = Progress::new(arguments.seeds, begun);
    let outcomes = Mutex::new(Vec::new());
    let worker = || {
        loop {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                late.store(true, Ordering::Relaxed);
                return;
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= arguments.seeds {
                return;
            }
            let mut outcome = gantry_sim::run(arguments.seed.wrapping_add(number), arguments.bug);
            if arguments.trace.is_none() {
                // A thousand traces are of no use.
                outcome.trace.clear();
            }
            progress.done(&outcome);
            outcomes.lock().expect("no worker panics while it holds the list").push(outcome);
        }
    };
    std::thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(worker))));
    progress.end(late.into_inner());
    let mut outcomes = outcomes.into_inner().expect("no worker panics while it holds the list");
    outcomes.sort_unstable_by_key(|outcome| outcome.seed);
    Summary { outcomes, wall: begun.elapsed() }
}
