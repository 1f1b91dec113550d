use std::path::PathBuf;

use clap::Args;
use gantry_server::dev::DevOptions;
use tokio::signal::unix::{SignalKind, signal};

use crate::{context::Outcome, exit::Exit, failure::Failure};

/// Run one node with a simulated fleet, to try things out in seconds
#[derive(Debug, Args)]
pub struct Dev {
    /// Where its state lies; it is still there after a restart
    #[arg(long, value_name = "DIR", default_value = "gantry-dev")]
    dir: PathBuf,

    /// Simulated hosts
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    hosts: u32,

    /// Where it listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7400")]
    listen: String,
}

impl Dev {
    pub async fn run(self) -> Outcome {
        let options = DevOptions { dir: self.dir, hosts: self.hosts, client_addr: self.listen };
        let stop = stop_signal()?;
        gantry_server::dev::run(options, stop).await.map_err(|error| Failure::internal(format!("{error:#}")))?;
        Ok(Exit::Ok)
    }
}

/// Resolves when the process is asked to end, by Ctrl-C or by its supervisor.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::internal(format!("signals cannot be listened for: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
