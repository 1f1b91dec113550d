//! A new node becomes a member: what it checks before it asks, what the leader checks before it takes it in, and the steps.
//!
//! Both sides look at each other before anything is changed: a node that is refused is as new as before, and the cluster has
//! no trace of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gantry_consensus::{Consensus, Member};
use gantry_fleet::FEATURE_LEVEL_MAX;
use gantry_proto::{
    Certainty, Token, WireError, reason,
    v1::{self, StatusRequest, cluster_client::ClusterClient},
};
use gantry_types::Rev;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

/// How long one node may take to be reached, and to say who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What clocks may differ by. A leader stamps leases with its clock: one that is far off would end them early or late.
const CLOCKS_DIFFER_MS: i64 = 5_000;
/// Between two tries of a server that was started to join.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) fn clock_unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Makes this node a voter of the cluster that the token names. Can be repeated; what is done is done.
pub(crate) async fn join(consensus: &Consensus, token: &Token, replaces: u64) -> Result<Rev, Status> {
    let this = consensus.member();
    let mine = consensus.status();
    if let Some(identity) = token.identity
        && identity.node != this.id
    {
        return Err(refused(format!("the token is for node {}, and this is node {}", identity.node, this.id)));
    }
    let (mut seed, seen) = reach(token, mine.cluster_id).await?;
    check_seed(consensus, token, &seen)?;
    if mine.members.iter().any(|member| member.member == this && member.is_voter) {
        return Ok(mine.applied.map_or(0, |applied| applied.index));
    }
    let learner =
        v1::Member { id: this.id, raft_addr: this.raft_addr, client_addr: this.client_addr, ..v1::Member::default() };
    // Where this node runs, the other one cannot: it goes first, since no two members have one address.
    let is_here = |old: &v1::Member| old.raft_addr == learner.raft_addr || old.client_addr == learner.client_addr;
    let was_here = seen.members.iter().any(|old| old.id == replaces && is_here(old));
    if was_here {
        let why = format!("node {} has its addresses, and takes its place", this.id);
        seed.remove(v1::RemoveRequest { id: replaces, why }).await?;
    }
    seed.add_learner(v1::AddLearnerRequest { member: Some(learner) }).await?;
    let changed = match replaces {
        old if old != 0 && !was_here => seed.replace(v1::ReplaceRequest { old, new: this.id }).await?,
        _ => seed.promote(v1::PromoteRequest { id: this.id }).await?,
    };
    Ok(changed.into_inner().rev)
}

/// Joins for as long as it takes: only a refusal ends it. A member that is restarted with the command line of its first start
/// has nothing to ask: what that names may be gone by now.
pub(crate) async fn keep_joining(consensus: Consensus, token: Token, replaces: u64) -> anyhow::Result<()> {
    let this = consensus.member();
    if consensus.status().members.iter().any(|member| member.member == this && member.is_voter) {
        return Ok(());
    }
    loop {
        match join(&consensus, &token, replaces).await {
            Ok(_) => {
                tracing::info!("this node is a voter of the cluster");
                return Ok(());
            }
            Err(status) if [Code::FailedPrecondition, Code::InvalidArgument].contains(&status.code()) => {
                anyhow::bail!("it cannot join: {}", status.message());
            }
            Err(status) => tracing::warn!(why = status.message(), "has not joined yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// An id for a new node, as the token gives it or the cluster does.
pub(crate) async fn new_id(token: &Token) -> anyhow::Result<u64> {
    if let Some(identity) = token.identity {
        return Ok(identity.node);
    }
    let (mut seed, _) = reach(token, 0).await.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
    let given = seed.new_id(v1::NewIdRequest {}).await;
    Ok(given.map_err(|status| anyhow::anyhow!("{}", status.message())).context("no node id was given")?.into_inner().id)
}

/// The first of the token's members that answers and knows a leader, and is of the cluster `of` where that is not 0; where none
/// is, the one that comes nearest to it.
pub(crate) async fn reach(token: &Token, of: u64) -> Result<(ClusterClient<Channel>, v1::StatusResponse), Status> {
    let (mut failed, mut best) = (Vec::new(), None);
    for addr in &token.addresses {
        match ask(addr).await {
            Ok(found) => {
                let is_meant = of == 0 || u64::from_str_radix(&found.1.cluster_id, 16) == Ok(of);
                let fits = (is_meant, found.1.leader_id != 0);
                if fits == (true, true) {
                    return Ok(found);
                }
                if best.as_ref().is_none_or(|(best, _)| *best < fits) {
                    best = Some((fits, found));
                }
            }
            Err(why) => failed.push(why),
        }
    }
    if let Some((_, found)) = best {
        return Ok(found);
    }
    let why = format!("the cluster cannot be reached: {}: is it running?", failed.join("; "));
    Err(WireError::new(Code::Unavailable, reason::UNREACHABLE, Certainty::Definite, why).into())
}

async fn ask(addr: &str) -> Result<(ClusterClient<Channel>, v1::StatusResponse), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{addr}: {error}");
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|error| failed(&error))?;
    let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await.map_err(|error| failed(&error))?;
    let mut client = ClusterClient::new(channel);
    let status = tokio::time::timeout(ANSWER_TIMEOUT, client.status(StatusRequest { state_hash: false })).await;
    match status {
        Ok(Ok(status)) => Ok((client, status.into_inner())),
        Ok(Err(status)) => Err(failed(&status.message())),
        Err(_) => Err(failed(&"it does not answer")),
    }
}

/// What a new node wants of the cluster before it asks to be taken in.
fn check_seed(consensus: &Consensus, token: &Token, seen: &v1::StatusResponse) -> Result<(), Status> {
    let mine = consensus.status();
    if seen.cluster_id.is_empty() {
        return Err(refused(format!("node {} is part of no cluster yet: see `gantry cluster init`", seen.node_id)));
    }
    if seen.cluster != mine.cluster {
        return Err(refused(format!("that is cluster {:?}, and this node is for {:?}", seen.cluster, mine.cluster)));
    }
    let theirs = u64::from_str_radix(&seen.cluster_id, 16).unwrap_or_default();
    if token.identity.is_some_and(|identity| identity.cluster != theirs) {
        return Err(refused(format!("the token is for another cluster than {}, which answered", seen.cluster_id)));
    }
    if mine.cluster_id != 0 && mine.cluster_id != theirs {
        return Err(refused("this node belongs to another cluster: give it an empty directory and a new id"));
    }
    let this = mine.node_id;
    if mine.cluster_id == 0 && seen.members.iter().any(|member| member.voter && member.id == this) {
        return Err(refused(format!(
            "node {this} has a vote in that cluster, and this directory is empty: mount what it had, or remove it there, and \
             start this one without a node_id"
        )));
    }
    if seen.feature_level > FEATURE_LEVEL_MAX {
        let level = seen.feature_level;
        return Err(refused(format!(
            "the cluster is at feature level {level}, and this version knows {FEATURE_LEVEL_MAX}: use a newer one"
        )));
    }
    clocks_agree(seen)
}

/// What the leader wants of a node before it adds it. Its peers' address is asked for elsewhere, see `add_learner`.
pub(crate) async fn check_candidate(consensus: &Consensus, candidate: &Member) -> Result<(), Status> {
    let Member { id, client_addr, .. } = candidate;
    let found = ask(client_addr).await;
    let (_, seen) =
        found.map_err(|why| refused(format!("node {id} cannot be reached: {why}: is it running there?")))?;
    let mine = consensus.status();
    if seen.node_id != *id {
        return Err(refused(format!("{client_addr} is node {}, not node {id}", seen.node_id)));
    }
    if seen.cluster != mine.cluster {
        return Err(refused(format!("node {id} is for cluster {:?}, and this is {:?}", seen.cluster, mine.cluster)));
    }
    let theirs = u64::from_str_radix(&seen.cluster_id, 16).unwrap_or_default();
    if !seen.cluster_id.is_empty() && theirs != mine.cluster_id {
        return Err(refused(format!("node {id} belongs to another cluster that is also named {:?}", mine.cluster)));
    }
    if seen.cluster_id.is_empty() && seen.last_log != 0 {
        return Err(refused(format!("node {id} has a log already: give it an empty directory")));
    }
    let level = consensus.state().read().fleet.feature_level();
    if seen.feature_level_max < level {
        let (version, knows) = (&seen.version, seen.feature_level_max);
        return Err(refused(format!(
            "node {id} runs version {version}, which knows feature level {knows}, and the cluster is at {level}: upgrade it"
        )));
    }
    clocks_agree(&seen)
}

/// The other side read its clock a moment ago.
fn clocks_agree(seen: &v1::StatusResponse) -> Result<(), Status> {
    let ahead_ms = seen.clock_unix_ms.saturating_sub(clock_unix_ms());
    if ahead_ms.abs() <= CLOCKS_DIFFER_MS {
        return Ok(());
    }
    let node = seen.node_id;
    Err(refused(format!(
        "the clock of node {node} differs by {ahead_ms} ms, and {CLOCKS_DIFFER_MS} ms are allowed: set both by a time server"
    )))
}

fn refused(why: impl Into<String>) -> Status {
    WireError::new(Code::FailedPrecondition, reason::MEMBERSHIP, Certainty::Definite, why.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::member;

    #[tokio::test]
    async fn one_that_knows_no_leader_or_is_of_another_cluster_is_not_asked_while_another_answers() {
        let (new, other, ours) =
            (member::Member::alone(7).await, member::Member::start().await, member::Member::start().await);
        let token = |members: &[&member::Member]| {
            let addresses = members.iter().map(|member| member.consensus.member().client_addr).collect();
            Token { identity: None, addresses }
        };
        let reached = async |members: &[&member::Member], of| reach(&token(members), of).await.unwrap().1;
        let of = ours.consensus.cluster_id();
        assert_eq!(reached(&[&new, &other, &ours], of).await.cluster_id, format!("{of:016x}"));
        assert_eq!(reached(&[&new, &ours], 0).await.node_id, 1, "of any cluster, led by anybody");
        assert_eq!(reached(&[&new], of).await.node_id, 7, "whoever there is, to say why not");
        let nowhere = Token { identity: None, addresses: vec!["127.0.0.1:1".to_owned()] };
        assert!(reach(&nowhere, of).await.unwrap_err().message().contains("127.0.0.1:1"));
        for member in [new, other, ours] {
            member.stop().await;
        }
    }
}
