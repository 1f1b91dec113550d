//! One node with a simulated fleet in the same process: for trying the API in seconds.

mod fleet;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use gantry_consensus::{Consensus, Member};

use crate::{
    config::Limits,
    run::{listen, serve},
};

/// How `gantry dev` runs.
#[derive(Clone, Debug)]
pub struct DevOptions {
    /// Where the state lies; it is still there after a restart.
    pub dir: PathBuf,
    /// Simulated hosts.
    pub hosts: u32,
    pub client_addr: String,
}

/// How long the one node may take to become leader of itself.
const LEADS_WITHIN: Duration = Duration::from_secs(10);

/// Runs until `shutdown` resolves.
pub async fn run(options: DevOptions, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let client_listener = listen("the client address", &options.client_addr).await?;
    let raft_listener = listen("the raft address", "127.0.0.1:0").await?;
    let raft_addr = raft_listener.local_addr().context("a bound listener has an address")?.to_string();
    let config = gantry_consensus::Config::new(1, raft_addr, options.client_addr.clone(), options.dir.clone());
    let member = config.member();
    let consensus = Consensus::start(config).await?;
    tokio::spawn(populate(consensus.clone(), member.clone(), options.clone()));
    serve(consensus, member, Limits::default(), raft_listener, client_listener, shutdown).await
}

async fn populate(consensus: Consensus, member: Member, options: DevOptions) {
    if let Err(error) = start_cluster(&consensus, member).await {
        tracing::error!(%error, "the cluster of one could not be started");
        return;
    }
    tracing::info!(
        "ready: {} simulated hosts, API on {}, state in {}",
        options.hosts,
        options.client_addr,
        options.dir.display()
    );
    if let Err(error) = fleet::simulate(&options.client_addr, options.hosts).await {
        tracing::info!(%error, "the simulated fleet ended");
    }
}

async fn start_cluster(consensus: &Consensus, member: Member) -> anyhow::Result<()> {
    if consensus.status().members.is_empty() {
        consensus.init(vec![member]).await?;
    }
    let mut role = consensus.role();
    tokio::time::timeout(LEADS_WITHIN, role.wait_for(|role| role.is_leader))
        .await
        .context("no leader in time")?
        .context("consensus stopped")?;
    Ok(())
}
