use std::path::PathBuf;

use clap::Args;
use gantry_proto::Token;
use gantry_server::{Config, Joining};

use super::dev::stop_signal;
use crate::{context::Outcome, exit::Exit, failure::Failure};

/// Run one member of a cluster
///
/// The config file is TOML: node_id, data_dir, client_addr, raft_addr and, where defaults do not do, limits.
/// A new server waits for `gantry cluster init` or `gantry cluster join`, or is started with --join: then it needs no node_id,
/// and becomes a voter by itself.
#[derive(Debug, Args)]
pub struct Server {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Join the cluster of this member (its client address) or of this token, unless this node is a member already
    #[arg(long, value_name = "HOST:PORT|TOKEN", value_parser = token)]
    join: Option<Token>,

    /// With --join: take the place of this voter, and remove that
    #[arg(long, value_name = "ID", requires = "join", default_value_t = 0, hide_default_value = true)]
    replace: u64,
}

fn token(text: &str) -> Result<Token, String> {
    Token::parse(text).map_err(|refused| refused.to_string())
}

impl Server {
    pub async fn run(self) -> Outcome {
        let config = Config::load(&self.config).map_err(|error| Failure::usage(error.to_string()))?;
        let stop = stop_signal()?;
        let joining = self.join.map(|to| Joining { to, replaces: self.replace });
        gantry_server::run(config, joining, stop).await.map_err(|error| Failure::internal(format!("{error:#}")))?;
        Ok(Exit::Ok)
    }
}
