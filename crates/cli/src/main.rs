//! The one binary, `gantry`: the server, a server for trying things out, and every operator command.
//!
//! - `args`: the command line as a whole
//! - `command`: one file a command, each with its flags, its call, its table and its JSON
//! - `arg`: groups of flags that several commands share
//! - `unit`: amounts as people write and read them
//! - `json`: messages as programs read them
//! - `table`, `output`: how answers are printed
//! - `exit`, `failure`: what went wrong, for scripts and for people
//!
//! Must not be in here: anything that another program could want of the service. That belongs to `gantry-client`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod arg;
mod args;
mod command;
mod context;
mod exit;
mod failure;
mod json;
mod output;
mod table;
mod unit;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, failure::Failure, output::Output};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let output = Output::new(cli.json);
    let result = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(cli.run(output)),
        Err(error) => Err(Failure::internal(format!("the async runtime cannot be started: {error}"))),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(output).into(),
    }
}

/// `RUST_LOG` chooses what is logged; without it, `info` and above of our own crates. Of a member that is away, libraries warn
/// twenty times a second.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,gantry=info,openraft=error,h2=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
