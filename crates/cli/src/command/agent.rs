use std::path::PathBuf;

use clap::Args;
use gantry_agent::{Config, capacity};

use super::dev::stop_signal;
use crate::{context::Outcome, exit::Exit, failure::Failure, output::Output};

/// Run the agent of this host
///
/// It tells the cluster what the host has and which image layers lie there, and answers for what is placed on it.
#[derive(Debug, Args)]
pub struct Agent {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Print what was found on this host and what the cluster would be told of it, as JSON, and end
    #[arg(long)]
    print: bool,
}

impl Agent {
    pub async fn run(self, output: Output) -> Outcome {
        let config = Config::load(&self.config).map_err(|error| Failure::usage(error.to_string()))?;
        if self.print {
            let report = capacity::report(&config).map_err(|error| Failure::internal(error.to_string()))?;
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Failure::internal(format!("what was found cannot be printed: {error}")))?;
            output.text(&text)?;
            return Ok(Exit::Ok);
        }
        let stop = stop_signal()?;
        gantry_agent::run(config, stop).await.map_err(|error| Failure::internal(format!("{error:#}")))?;
        Ok(Exit::Ok)
    }
}
