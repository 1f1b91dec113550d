//! A new cluster begins with everything on that all of its members know. Later it is the operator who says when all have
//! been upgraded.

use std::time::Duration;

use anyhow::{Context, bail};
use gantry_consensus::Member;
use gantry_proto::v1::{SetFeatureLevelRequest, StatusRequest, cluster_client::ClusterClient};
use tonic::transport::{Channel, Endpoint};

/// How long the new cluster may take to have a leader that commits it.
const WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks every member what it knows, and switches on what all do. Where that fails the cluster stays at the first level.
pub(crate) async fn begin(members: &[Member]) {
    let begun = tokio::time::timeout(WITHIN, switch_on(members)).await;
    if let Err(error) = begun.unwrap_or_else(|_| Err(anyhow::anyhow!("not done after {} s", WITHIN.as_secs()))) {
        tracing::warn!(
            "the new cluster is at feature level 1: raise it with `gantry cluster feature-level`: {error:#}"
        );
    }
}

async fn switch_on(members: &[Member]) -> anyhow::Result<()> {
    let mut level = None;
    for member in members {
        let status = client(member)?.status(StatusRequest { state_hash: false }).await;
        let knows = status.with_context(|| format!("asking member {}", member.id))?.into_inner().feature_level_max;
        level = level.map(|least: u32| least.min(knows)).or(Some(knows));
    }
    let (Some(level), Some(first)) = (level, members.first()) else { bail!("a cluster has members") };
    // Until there is a leader.
    while let Err(status) = client(first)?.set_feature_level(SetFeatureLevelRequest { level }).await {
        tracing::debug!(%status, "the new cluster does not take its feature level yet");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn client(member: &Member) -> anyhow::Result<ClusterClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{}", member.client_addr));
    let endpoint = endpoint.with_context(|| format!("{} is no address", member.client_addr))?;
    Ok(ClusterClient::new(endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy()))
}
