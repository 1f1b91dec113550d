//! A new cluster begins with everything on that all of its members know. Later it is the operator who says when all have
//! been upgraded, and every member is asked whether that is so: one that does not know what is switched on can only stop.

use std::time::Duration;

use anyhow::{Context, bail};
use gantry_consensus::Member;
use gantry_proto::{
    Certainty, WireError, reason,
    v1::{SetFeatureLevelRequest, StatusRequest, StatusResponse, cluster_client::ClusterClient},
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

/// How long the new cluster may take to have a leader that commits it.
const WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a member may take to say what it knows.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Refuses a level that not every member says it knows. One that cannot be asked counts as one that does not: it may come back
/// as what it was.
pub(crate) async fn known_by_all(members: &[Member], level: u32) -> Result<(), Status> {
    let asked = members.iter().map(async |member| (member.id, ask(member).await));
    let mut lacking = Vec::new();
    for (id, answer) in futures::future::join_all(asked).await {
        match answer {
            Ok(seen) if seen.node_id != id => lacking.push(format!("node {id} is not where it should be")),
            Ok(seen) if seen.feature_level_max >= level => {}
            Ok(seen) => {
                lacking
                    .push(format!("node {id} runs version {}, which knows {}", seen.version, seen.feature_level_max));
            }
            Err(why) => lacking.push(format!("node {id} cannot be asked: {why:#}")),
        }
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let why = format!(
        "feature level {level} is not known to all members: {}: upgrade them, or remove those that are gone, first",
        lacking.join("; ")
    );
    Err(WireError::new(Code::FailedPrecondition, reason::MEMBERSHIP, Certainty::Definite, why).into())
}

async fn ask(member: &Member) -> anyhow::Result<StatusResponse> {
    let mut client = client(member)?;
    let status = tokio::time::timeout(ANSWER_TIMEOUT, client.status(StatusRequest { state_hash: false })).await;
    let status = status.map_err(|_| anyhow::anyhow!("no answer in {} s", ANSWER_TIMEOUT.as_secs()))?;
    Ok(status.map_err(|status| anyhow::anyhow!("{}", status.message()))?.into_inner())
}

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
        let status = ask(member).await.with_context(|| format!("asking member {}", member.id))?;
        let knows = status.feature_level_max;
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
