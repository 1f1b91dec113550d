//! Comparing the replicas' states: the leader names a rev that nobody has applied yet, every member hashes its state right
//! after it, and those that differ from the majority are told to stop.

use std::{collections::BTreeMap, time::Duration};

use gantry_store::Member;
use gantry_types::Rev;

use crate::{
    Consensus,
    checkpoints::Checkpoints,
    ending::Ending,
    error::MembershipError,
    network::{CheckClient, Peers},
    raft_types::Raft,
    role::Role,
    status::metrics,
};

/// How far ahead of the log the rev is chosen, first and at last: under load the log grows while members are asked.
const AHEAD: [u64; 5] = [1, 8, 64, 512, 4_096];

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    pub rev: Rev,
    /// That of a majority of the voters, where there is one.
    pub agreed: Option<u128>,
    /// By id.
    pub members: Vec<MemberHash>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHash {
    pub id: u64,
    pub is_voter: bool,
    /// Or why there is none.
    pub hash: Result<u128, String>,
}

impl Verification {
    /// Members with another hash than the majority.
    pub fn diverged(&self) -> impl Iterator<Item = &MemberHash> {
        self.members.iter().filter(|member| match (&member.hash, self.agreed) {
            (Ok(hash), Some(agreed)) => *hash != agreed,
            _ => false,
        })
    }
}

/// What it takes to compare. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) raft: Raft,
    me: u64,
    pub(crate) peers: Peers,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) ending: Ending,
}

impl Consensus {
    /// Compares the states of all members at one rev. Those that differ from the majority stop. Leader only.
    pub async fn verify(&self) -> Result<Verification, MembershipError> {
        self.verifier().verify().await
    }
}

impl Verifier {
    pub(crate) fn new(raft: Raft, me: u64, peers: Peers, checkpoints: Checkpoints, ending: Ending) -> Self {
        Self { raft, me, peers, checkpoints, ending }
    }

    pub(crate) async fn verify(&self) -> Result<Verification, MembershipError> {
        for ahead in AHEAD {
            let seen = metrics(&self.raft);
            if !seen.state.is_leader() {
                return Err(MembershipError::NotLeader { leader: None });
            }
            let members: Vec<(Member, bool)> = {
                let membership = seen.membership_config.membership();
                let voters: Vec<u64> = membership.voter_ids().collect();
                membership.nodes().map(|(id, addresses)| (addresses.member(*id), voters.contains(id))).collect()
            };
            let rev = seen.last_log_index.unwrap_or(0) + ahead;
            if let Some(asked) = self.ask(rev, members).await {
                let verification = self.compare(rev, asked).await?;
                self.condemn(&verification).await;
                return Ok(verification);
            }
        }
        Err(MembershipError::InProgress)
    }

    /// Asks every member for its hash at `rev`; nothing where that was too late for one. Who cannot be asked has no hash.
    async fn ask(&self, rev: Rev, members: Vec<(Member, bool)>) -> Option<Vec<Asked>> {
        let asked = members.into_iter().map(|(member, is_voter)| async move {
            let client = if member.id == self.me { None } else { Some(CheckClient::new(&self.peers, &member)) };
            let in_time = match &client {
                None => Ok(self.checkpoints.want(rev)),
                Some(client) => client.want(rev).await,
            };
            match in_time {
                Ok(true) => Some(Asked { id: member.id, is_voter, client, failed: None }),
                Ok(false) => None,
                Err(why) => Some(Asked { id: member.id, is_voter, client, failed: Some(why) }),
            }
        });
        futures::future::join_all(asked).await.into_iter().collect()
    }

    async fn compare(&self, rev: Rev, asked: Vec<Asked>) -> Result<Verification, MembershipError> {
        while metrics(&self.raft).last_applied.is_none_or(|applied| applied.index < rev) {
            let written = self.raft.write_blank().await;
            written.map_err(|error| MembershipError::Unknown { why: error.to_string() })?;
        }
        let hashes = asked.into_iter().map(|Asked { id, is_voter, client, failed }| async move {
            let hash = match (failed, client) {
                (Some(why), _) => Err(why),
                (None, None) => self.checkpoints.fetch(rev).await,
                (None, Some(client)) => client.fetch(rev).await,
            };
            MemberHash { id, is_voter, hash }
        });
        let members = futures::future::join_all(hashes).await;
        Ok(Verification { rev, agreed: majority(&members), members })
    }

    /// Tells those that differ. This node, should it be one of them, is the last.
    async fn condemn(&self, verification: &Verification) {
        let Some(agreed) = verification.agreed else {
            tracing::error!(?verification, "no majority of the voters has the same state: nobody is told to stop");
            return;
        };
        let rev = verification.rev;
        let seen = metrics(&self.raft);
        for member in verification.diverged().filter(|member| member.id != self.me) {
            tracing::error!(node = member.id, rev, "a replica has diverged: it is told to stop");
            let Some(addresses) = seen.membership_config.membership().get_node(&member.id).cloned() else { continue };
            let client = CheckClient::new(&self.peers, &addresses.member(member.id));
            if let Err(why) = client.condemn(rev, agreed).await {
                // A node that stops at once may not answer any more.
                tracing::warn!(node = member.id, why, "the replica did not say that it stops");
            }
        }
        if verification.diverged().any(|member| member.id == self.me) {
            self.condemned(rev, agreed);
        }
    }

    /// The others came to `agreed` at `rev`. Believed only where this node knows its own hash there.
    pub(crate) fn condemned(&self, rev: Rev, agreed: u128) -> bool {
        match self.checkpoints.at(rev) {
            Some(Ok(own)) if own != agreed => {
                self.ending.diverged(rev, own, agreed);
                true
            }
            _ => false,
        }
    }
}

struct Asked {
    id: u64,
    is_voter: bool,
    /// None for this node itself.
    client: Option<CheckClient>,
    failed: Option<String>,
}

/// The hash that more than half of the voters have.
fn majority(members: &[MemberHash]) -> Option<u128> {
    let voters = members.iter().filter(|member| member.is_voter);
    let mut counts: BTreeMap<u128, usize> = BTreeMap::new();
    for hash in voters.clone().filter_map(|member| member.hash.as_ref().ok()) {
        *counts.entry(*hash).or_default() += 1;
    }
    let all = voters.count();
    counts.into_iter().find(|(_, count)| 2 * count > all).map(|(hash, _)| hash)
}

/// Compares on a schedule, while this node leads.
pub(crate) async fn run(verifier: Verifier, role: gantry_store::watch::Receiver<Role>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !role.borrow().is_leader {
            continue;
        }
        match verifier.verify().await {
            Ok(Verification { rev, members, .. }) => tracing::debug!(rev, ?members, "states were compared"),
            Err(error) => tracing::debug!(%error, "states were not compared"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, is_voter: bool, hash: u128) -> MemberHash {
        MemberHash { id, is_voter, hash: Ok(hash) }
    }

    #[test]
    fn only_a_majority_of_all_voters_is_believed() {
        let unknown = MemberHash { id: 9, is_voter: true, hash: Err("down".to_owned()) };
        assert_eq!(majority(&[member(1, true, 7), member(2, true, 7), member(3, true, 8)]), Some(7));
        assert_eq!(majority(&[member(1, true, 7), member(2, true, 8)]), None);
        assert_eq!(majority(&[member(1, true, 7), unknown.clone(), unknown.clone()]), None);
        assert_eq!(majority(&[member(1, true, 7), member(2, false, 7), member(3, true, 8)]), None);
        let members = vec![member(1, true, 7), member(2, true, 7), member(3, true, 8), member(4, false, 9), unknown];
        let verification = Verification { rev: 1, agreed: Some(7), members };
        assert_eq!(verification.diverged().map(|member| member.id).collect::<Vec<_>>(), [3, 4]);
    }
}
