//! The binary `gantry-bench`: see the library.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use gantry_bench::{decision, demo, failover, index, layers, packing, recovery, slow_disk, throughput};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Shows and measures Gantry.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// A burst of GPU machines on three server processes, with the leader killed half way, audited.
    Demo(demo::Args),
    /// GPUs given out when a fleet is full, by policy, on a public trace.
    Packing(packing::Args),
    /// Mean start and bytes fetched when machines are placed by image layers, beside five known policies.
    Layers(layers::Args),
    /// Placements a second of three server processes under full load, audited.
    Throughput(throughput::Args),
    /// How long nobody gets an answer when the leader is killed, cut off, or hands over.
    Failover(failover::Args),
    /// How long a large cluster needs to be whole again, and what snapshots cost those who place meanwhile.
    Recovery(recovery::Args),
    /// What a placement takes when a follower's disk is slow, and how soon another node leads when the leader's is.
    SlowDisk(slow_disk::Args),
    /// Microseconds for a decision of the planner, on one thread and without servers.
    Decision(decision::Args),
    /// Memory, changes a second and a whole fleet's estimate of the layer index, in this process.
    Index(index::Args),
}

fn main() -> ExitCode {
    let command = Command::parse();
    match start(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<()> {
    // The load shares the machine with the servers: one thread for it. The demo's agents are many and idle.
    let runtime = match &command {
        Command::Decision(args) => return decision::run(args),
        Command::Index(args) => return index::run(args),
        Command::Demo(_) | Command::Failover(_) | Command::Recovery(_) | Command::SlowDisk(_) => {
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
        }
        _ => runtime::Builder::new_current_thread().enable_all().build(),
    };
    runtime.context("cannot start the runtime")?.block_on(async {
        // Whatever ends first drops the other: servers that were started are ended with the work.
        tokio::select! {
            done = work(command) => done,
            stopped = stopped() => stopped,
        }
    })
}

async fn work(command: Command) -> Result<()> {
    match command {
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Packing(args) => packing::run(args).await,
        Command::Layers(args) => layers::run(args).await,
        Command::Throughput(args) => Box::pin(throughput::run(args)).await,
        Command::Failover(args) => Box::pin(failover::run(args)).await,
        Command::Recovery(args) => Box::pin(recovery::run(args)).await,
        Command::SlowDisk(args) => Box::pin(slow_disk::run(args)).await,
        Command::Decision(args) => decision::run(&args),
        Command::Index(args) => index::run(&args),
    }
}

/// Ctrl-C or SIGTERM.
async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot listen for Ctrl-C")?,
        _ = terminate.recv() => (),
    }
    bail!("stopped by a signal; the servers are ended")
}
