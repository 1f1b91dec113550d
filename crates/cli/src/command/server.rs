use std::path::PathBuf;

use clap::Args;
use gantry_server::Config;

use super::dev::stop_signal;
use crate::{context::Outcome, exit::Exit, failure::Failure};

/// Run one member of a cluster
///
/// The config file is TOML: node_id, data_dir, client_addr, raft_addr and, where defaults do not do, limits.
/// A new server waits for `gantry cluster init` or `gantry cluster join`.
#[derive(Debug, Args)]
pub struct Server {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Server {
    pub async fn run(self) -> Outcome {
        let config = Config::load(&self.config).map_err(|error| Failure::usage(error.to_string()))?;
        let stop = stop_signal()?;
        gantry_server::run(config, stop).await.map_err(|error| Failure::internal(format!("{error:#}")))?;
        Ok(Exit::Ok)
    }
}
