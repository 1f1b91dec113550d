//! A node that lost data does not vote on what is left: it announces itself, sets its data aside, and comes back as a new
//! member with its peers' data, as long as they are a quorum without it.
//!
//! The order is what makes it safe and repeatable: the others give an id (an entry of the log, so they are a quorum), the old
//! id is removed for good, and only then is the directory emptied. Where any of it fails nothing here is touched, and the next
//! start tries again.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use gantry_consensus::{Config, Consensus, Identity, OpenError, StartError, known_members, set_aside};
use gantry_proto::{Token, v1};

use crate::joining;

/// How long the others may take to say that they are a quorum.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of the reason that the leader is told.
const WHY_BYTES: usize = 512;
/// Between two tries to become a voter again.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// Starts a node, after its data was set aside where that is needed. The members that it was told to join count as others too:
/// one that lost its data at once has not heard of any.
pub(crate) async fn start(config: Config, told: &[String]) -> anyhow::Result<Consensus> {
    let lost = match Consensus::start(config.clone()).await {
        Err(StartError::Open(lost)) if lost.is_lost_data() => lost,
        started => return Ok(started?),
    };
    tracing::error!(why = %lost, "this node has lost data: it does not take part with what is left");
    let next = next_life(&config, told, &lost).await.with_context(|| {
        format!("{lost}; the node cannot come back by itself, and nothing in its directory was changed")
    })?;
    let aside = set_aside(&config.data_dir, &next).context("the damaged data cannot be set aside")?;
    tracing::warn!(node = next.node, evidence = %aside.display(), "this node comes back with its peers' data");
    Ok(Consensus::start(config).await?)
}

/// Who this node will be, once the others have let go of who it was.
async fn next_life(config: &Config, told: &[String], lost: &OpenError) -> anyhow::Result<Identity> {
    let identity = Identity::read(&config.data_dir)?.filter(|identity| identity.cluster_id != 0);
    let Some(identity) = identity else { bail!("it is not part of a cluster") };
    let others = others(&config.data_dir, told, &config.client_addr);
    ensure!(!others.addresses.is_empty(), "QuorumLost: it knows of no other member");
    let (mut seed, seen) = joining::reach(&others, identity.cluster_id)
        .await
        .map_err(|status| anyhow::anyhow!("QuorumLost: no other member answers: {}", status.message()))?;
    ensure!(
        seen.cluster_id == format!("{:016x}", identity.cluster_id),
        "the member that answers is of cluster {}, this node of {:016x}",
        seen.cluster_id,
        identity.cluster_id
    );
    let given = tokio::time::timeout(PATIENCE, seed.new_id(v1::NewIdRequest {})).await;
    let given = given.map_err(|_| anyhow::anyhow!("QuorumLost: the others are no quorum without this node"))?;
    let given = given
        .map_err(|status| {
            anyhow::anyhow!("QuorumLost: the others are no quorum without this node: {}", status.message())
        })?
        .into_inner();
    let mut why = format!("it lost data and comes back as node {}: {lost}", given.id);
    why.truncate(why.floor_char_boundary(WHY_BYTES));
    let removed = tokio::time::timeout(PATIENCE, seed.remove(v1::RemoveRequest { id: identity.node, why })).await;
    let removed =
        removed.map_err(|_| anyhow::anyhow!("the others did not let go of node {} in time", identity.node))?;
    removed.map_err(|status| anyhow::anyhow!("node {} is not removed: {}", identity.node, status.message()))?;
    Ok(identity.reborn(given.id))
}

/// Becomes a voter, where this node is in a life that its operator did not begin.
pub(crate) async fn keep_rejoining(consensus: Consensus, data_dir: &Path, told: &[String]) {
    if !consensus.is_reborn() {
        return;
    }
    let mut pause = AGAIN;
    loop {
        let (this, status) = (consensus.member(), consensus.status());
        if status.members.iter().any(|member| member.member.id == this.id && member.is_voter) {
            tracing::info!(node = this.id, "this node votes again");
            return;
        }
        match joining::join(&consensus, &others(data_dir, told, &this.client_addr), 0).await {
            Ok(_) => {}
            Err(status) => tracing::warn!(node = this.id, why = status.message(), "has not come back yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_AT_MOST);
    }
}

/// Where the other members were last heard of, and then those that an operator named.
fn others(data_dir: &Path, told: &[String], own: &str) -> Token {
    let known = known_members(data_dir).into_iter().map(|member| member.client_addr);
    Token { identity: None, addresses: known.chain(told.iter().cloned()).filter(|addr| addr != own).collect() }
}
