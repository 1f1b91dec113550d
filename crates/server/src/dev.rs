//! One node with a simulated fleet in the same process: for trying the API in seconds.

mod fleet;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use gantry_consensus::{Consensus, Member};
use tokio::sync::oneshot;

use crate::{
    config::Limits,
    feature_level,
    images::Images,
    metrics::Metrics,
    run::{Listeners, abort_on_panic, listen, serve},
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

/// A name of its own: a real member's directory is refused, and a real member refuses this one's.
const CLUSTER: &str = "gantry-dev";
/// How long the one node may take to become leader of itself.
const LEADS_WITHIN: Duration = Duration::from_secs(10);

/// Runs until `shutdown` resolves.
pub async fn run(options: DevOptions, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    abort_on_panic();
    let client_listener = listen("the client address", &options.client_addr).await?;
    let raft_listener = listen("the raft address", "127.0.0.1:0").await?;
    let raft_addr = raft_listener.local_addr().context("a bound listener has an address")?.to_string();
    let config = gantry_consensus::Config::new(1, raft_addr, options.client_addr.clone(), options.dir.clone());
    let config = gantry_consensus::Config { cluster: CLUSTER.to_owned(), ..config };
    let member = config.member();
    let consensus = Consensus::start(config).await?;
    let (failed, failure) = oneshot::channel();
    tokio::spawn(populate(consensus.clone(), member, options, failed));
    let mut trouble = None;
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            Ok(error) = failure => trouble = Some(error),
        }
    };
    let listeners = Listeners { raft: raft_listener, client: client_listener, metrics: None };
    serve(consensus, (Limits::default(), None), (Metrics::new(false), Images::default()), listeners, stop).await?;
    trouble.map_or(Ok(()), Err)
}

/// Tells of a failure before the fleet stands. After that its agents run until the server ends.
async fn populate(consensus: Consensus, member: Member, options: DevOptions, failed: oneshot::Sender<anyhow::Error>) {
    let DevOptions { dir, hosts, client_addr } = options;
    let made = async {
        start_cluster(&consensus, member).await.context("the cluster of one could not be started")?;
        fleet::simulate(&client_addr, hosts).await.context("the simulated fleet could not be started")
    };
    match made.await {
        Ok(()) => tracing::info!("ready: {hosts} simulated hosts, API on {client_addr}, state in {}", dir.display()),
        // Nobody listens where the server was asked to stop meanwhile.
        Err(error) => drop(failed.send(error)),
    }
}

async fn start_cluster(consensus: &Consensus, member: Member) -> anyhow::Result<()> {
    let is_new = consensus.status().members.is_empty();
    if is_new {
        consensus.init(vec![member.clone()]).await?;
    }
    let mut role = consensus.role();
    tokio::time::timeout(LEADS_WITHIN, role.wait_for(|role| role.is_leader))
        .await
        .context("no leader in time")?
        .context("consensus stopped")?;
    if is_new {
        feature_level::begin(&[member]).await;
    }
    Ok(())
}
