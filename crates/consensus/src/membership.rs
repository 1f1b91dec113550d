//! Changing who the members are. All of it is done by the leader, one change at a time, and can be repeated: what is
//! already done is done, and a change of the voters that a dead leader left half done is finished first.
//!
//! Everything that can be checked is checked before anything is changed: a member that nobody can reach, or that is
//! somebody else, is worse than none.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use gantry_store::{Member, Owner, SharedState};
use openraft::{
    ChangeMembers, LogIdOptionExt,
    errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError},
};

use crate::{
    config::CAUGHT_UP_ENTRIES,
    error::MembershipError,
    network::{NotMet, Peers},
    raft_types::{Addresses, Raft, Types, pointed_to},
    status::metrics,
};

/// How long a learner may take to catch up before its promotion is refused.
const CATCH_UP: Duration = Duration::from_secs(30);
/// How long the first members may take to hear of their cluster.
const FOUND: Duration = Duration::from_secs(3);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Ids that are given begin here; smaller ones are left to those who number their nodes themselves.
const GIVEN_IDS: u64 = 1_000;
/// Ids drawn for a new node before it is given up: each is an entry of the log.
const ID_DRAWS: u32 = 64;

type WriteError = RaftError<Types, ClientWriteError<Types>>;

/// The operations, over one node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Members {
    pub(crate) me: Member,
    pub(crate) raft: Raft,
    pub(crate) state: SharedState,
    pub(crate) owner: Owner,
    pub(crate) peers: Peers,
}

impl Members {
    pub(crate) fn new(me: Member, raft: &Raft, state: &SharedState, owner: &Owner, peers: &Peers) -> Self {
        let (raft, state) = (raft.clone(), SharedState::clone(state));
        Self { me, raft, state, owner: owner.clone(), peers: peers.clone() }
    }

    /// Forms a cluster of `members`, of which this node is one.
    pub(crate) async fn init(&self, members: Vec<Member>) -> Result<(), MembershipError> {
        let nodes = by_id(members)?;
        match nodes.get(&self.me.id) {
            None => return Err(MembershipError::refused(format!("node {} is not among the members", self.me.id))),
            Some(member) if *member != self.me => {
                let Member { id, raft_addr, client_addr } = &self.me;
                let why = format!("node {id} is configured with {raft_addr} for peers and {client_addr} for clients");
                return Err(MembershipError::refused(format!("{why}, not as given")));
            }
            Some(_) => {}
        }
        if self.raft.is_initialized().await.map_err(stopped)? {
            return Err(MembershipError::AlreadyFormed);
        }
        // A member of a cluster keeps its id: forming again after a crash half way goes on with the same one.
        let cluster_id = match self.owner.identity().cluster_id {
            0 => fastrand::u64(1..),
            joined => joined,
        };
        let joined =
            self.owner.join(cluster_id).map_err(|error| MembershipError::Stopped { why: error.to_string() })?;
        if !joined {
            return Err(MembershipError::AlreadyFormed);
        }
        let others: Vec<Member> = nodes.values().filter(|member| member.id != self.me.id).cloned().collect();
        let nodes: BTreeMap<u64, Addresses> = nodes.into_values().map(Addresses::of).collect();
        self.raft.initialize(nodes).await.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => MembershipError::AlreadyFormed,
            RaftError::APIError(InitializeError::NotInMembers(error)) => MembershipError::refused(error.to_string()),
            RaftError::Fatal(fatal) => stopped(fatal),
        })?;
        self.wait_until_found(&others).await;
        Ok(())
    }

    /// Waits until the first members know of their cluster: one that hears of it much later is taken for one that has
    /// forgotten it.
    async fn wait_until_found(&self, others: &[Member]) {
        let know = others.iter().map(async |other| {
            while let Err(why) = self.peers.greet(other.id, &other.raft_addr, false).await {
                tracing::debug!(node = other.id, %why, "a first member does not know of the cluster yet");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        if tokio::time::timeout(FOUND, futures::future::join_all(know)).await.is_err() {
            tracing::warn!("not all first members know of the cluster yet: start those that are not running soon");
        }
    }

    /// An id that no node has or ever had: it is counted by the index of a log entry made for it.
    pub(crate) async fn new_id(&self) -> Result<u64, MembershipError> {
        for _ in 0..ID_DRAWS {
            let id = GIVEN_IDS + self.raft.write_blank().await.map_err(failed)?.log_id().index;
            if self.known(id).is_none() && !self.is_retired(id) {
                return Ok(id);
            }
        }
        Err(MembershipError::refused("no free node id was found: give the node an id of your own"))
    }

    /// Adds a member that gets the log but has no vote yet.
    pub(crate) async fn add_learner(&self, member: Member) -> Result<(), MembershipError> {
        if self.may_add(&member)? {
            return Ok(());
        }
        self.peers.greet(member.id, &member.raft_addr, true).await.map_err(not_met)?;
        let (id, addresses) = Addresses::of(member);
        self.raft.add_learner(id, addresses, false).await.map(drop).map_err(failed)
    }

    /// Refuses a member that cannot be one. True where it is one already.
    pub(crate) fn may_add(&self, member: &Member) -> Result<bool, MembershipError> {
        check(member)?;
        self.leads()?;
        if let Some(known) = self.known(member.id) {
            if known == *member {
                return Ok(true);
            }
            let why = format!(
                "node {} is a member at {}: give the new node another id, or move the member there",
                known.id, known.raft_addr
            );
            return Err(MembershipError::refused(why));
        }
        if self.is_retired(member.id) {
            let why = format!("node id {} was used before: give the node a new id and an empty directory", member.id);
            return Err(MembershipError::refused(why));
        }
        self.addresses_are_free(member)?;
        Ok(false)
    }

    /// Makes a learner a voter, which has caught up.
    pub(crate) async fn promote(&self, id: u64) -> Result<(), MembershipError> {
        self.finish_joint().await?;
        if self.is_learner(id)? {
            self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await?;
        }
        Ok(())
    }

    /// Removes a member. Its id is never used again.
    pub(crate) async fn remove(&self, id: u64) -> Result<(), MembershipError> {
        self.finish_joint().await?;
        if self.known(id).is_none() {
            return Ok(());
        }
        let mut voters = self.voters();
        if !voters.remove(&id) {
            return self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id])), false).await;
        }
        if voters.is_empty() {
            return Err(MembershipError::refused(format!("node {id} is the last voter: add another one first")));
        }
        self.can_decide(&voters, &format!("without node {id}")).await?;
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id])), false).await
    }

    /// Puts the learner `new`, which has caught up, in the place of the voter `old`, in one change: at no moment do more
    /// nodes have to answer than before.
    pub(crate) async fn replace(&self, old: u64, new: u64) -> Result<(), MembershipError> {
        self.finish_joint().await?;
        let mut voters = self.voters();
        // Done before, when this is asked again.
        if voters.contains(&new) && self.is_retired(old) {
            return Ok(());
        }
        if !voters.remove(&old) {
            return Err(MembershipError::refused(format!(
                "node {old} is not a voter: there is nothing to replace, join without that"
            )));
        }
        if !self.is_learner(new)? {
            return Err(MembershipError::refused(format!("node {new} has a vote already: remove node {old} instead")));
        }
        voters.insert(new);
        self.can_decide(&voters, &format!("with node {new} in the place of node {old}")).await?;
        self.change(ChangeMembers::ReplaceAllVoters(voters), false).await
    }

    /// Notes that a member is reached elsewhere from now on. It must answer there.
    pub(crate) async fn move_member(&self, member: Member) -> Result<(), MembershipError> {
        check(&member)?;
        self.leads()?;
        match self.known(member.id) {
            None => return Err(MembershipError::refused(format!("node {} is not a member: add it", member.id))),
            Some(known) if known == member => return Ok(()),
            Some(_) => {}
        }
        self.addresses_are_free(&member)?;
        if member.id != self.me.id {
            self.peers.meet(member.id, &member.raft_addr).await.map_err(not_met)?;
        } else if member != self.me {
            let Member { id, raft_addr, client_addr } = &self.me;
            let why = format!("node {id} runs at {raft_addr} for peers and {client_addr} for clients, not as given");
            return Err(MembershipError::refused(why));
        }
        let (id, addresses) = Addresses::of(member);
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, addresses)])), true).await
    }

    /// Waits until `id` lacks little of the log.
    pub(crate) async fn wait_until_caught_up(&self, id: u64) -> Result<(), MembershipError> {
        self.leads()?;
        if !self.is_learner(id)? {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + CATCH_UP;
        loop {
            let seen = metrics(&self.raft);
            let Some(replication) = &seen.replication else {
                return Err(MembershipError::NotLeader { leader: self.leader() });
            };
            let have = replication.get(&id).and_then(|matched| matched.index());
            let want = seen.last_log_index.unwrap_or(0);
            if have.is_some_and(|have| want.saturating_sub(have) <= CAUGHT_UP_ENTRIES) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(MembershipError::Behind { id, have: have.unwrap_or(0), want });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Completes a change of the voters that stopped half way. Who leaves the voters in it was being removed: nothing else
    /// takes a vote away.
    pub(crate) async fn finish_joint(&self) -> Result<(), MembershipError> {
        if metrics(&self.raft).membership_config.membership().get_joint_config().len() <= 1 {
            return Ok(());
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::new()), false).await
    }

    fn leads(&self) -> Result<(), MembershipError> {
        let leads = metrics(&self.raft).state.is_leader();
        if leads { Ok(()) } else { Err(MembershipError::NotLeader { leader: self.leader() }) }
    }

    fn is_learner(&self, id: u64) -> Result<bool, MembershipError> {
        if self.known(id).is_none() {
            return Err(MembershipError::refused(format!("node {id} is not a member: add it first")));
        }
        Ok(!self.voters().contains(&id))
    }

    fn is_retired(&self, id: u64) -> bool {
        self.state.read().membership.retired.contains(&id)
    }

    /// No other member has one of these addresses.
    fn addresses_are_free(&self, member: &Member) -> Result<(), MembershipError> {
        for other in self.members().into_values().filter(|other| other.id != member.id) {
            for addr in [&member.raft_addr, &member.client_addr] {
                if [&other.raft_addr, &other.client_addr].contains(&addr) {
                    return Err(MembershipError::refused(format!("{addr} is the address of node {}", other.id)));
                }
            }
        }
        Ok(())
    }

    /// Asks all of these voters, and refuses them where too few answer: such a change would never be completed, and nothing
    /// after it.
    async fn can_decide(&self, voters: &BTreeSet<u64>, how: &str) -> Result<(), MembershipError> {
        self.leads()?;
        let members = self.members();
        let others = voters.iter().filter(|id| **id != self.me.id).filter_map(|id| members.get(id));
        let asked = others.map(async |other| (other.id, self.peers.greet(other.id, &other.raft_addr, false).await));
        let answers = futures::future::join_all(asked).await;
        let silent: Vec<String> =
            answers.iter().filter(|(_, answer)| answer.is_err()).map(|(id, _)| id.to_string()).collect();
        if (voters.len() - silent.len()) * 2 > voters.len() {
            return Ok(());
        }
        let silent = silent.join(", ");
        let why = format!("{how} too few voters answer to decide anything (silent: {silent}): bring them back first");
        Err(MembershipError::refused(why))
    }

    async fn change(&self, change: ChangeMembers<u64, Addresses>, retain: bool) -> Result<(), MembershipError> {
        self.raft.change_membership(change, retain).await.map(drop).map_err(failed)
    }

    pub(crate) fn members(&self) -> BTreeMap<u64, Member> {
        let seen = metrics(&self.raft);
        seen.membership_config.nodes().map(|(id, addresses)| (*id, addresses.member(*id))).collect()
    }

    fn known(&self, id: u64) -> Option<Member> {
        self.members().remove(&id)
    }

    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        metrics(&self.raft).membership_config.voter_ids().collect()
    }

    pub(crate) fn leader(&self) -> Option<Member> {
        metrics(&self.raft).current_leader.and_then(|id| self.known(id))
    }
}

fn by_id(members: Vec<Member>) -> Result<BTreeMap<u64, Member>, MembershipError> {
    let mut nodes = BTreeMap::new();
    for member in members {
        check(&member)?;
        if nodes.values().any(|other: &Member| other.raft_addr == member.raft_addr) {
            return Err(MembershipError::refused(format!("two members have the address {}", member.raft_addr)));
        }
        if let Some(other) = nodes.insert(member.id, member) {
            return Err(MembershipError::refused(format!("two members have the id {}", other.id)));
        }
    }
    Ok(nodes)
}

fn check(member: &Member) -> Result<(), MembershipError> {
    if member.id == 0 {
        return Err(MembershipError::refused("node ids begin at 1"));
    }
    for (what, addr) in [("peers", &member.raft_addr), ("clients", &member.client_addr)] {
        if !addr.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return Err(MembershipError::refused(format!("node {}: {addr:?} for {what} is not host:port", member.id)));
        }
    }
    Ok(())
}

fn not_met(why: NotMet) -> MembershipError {
    MembershipError::refused(why.to_string())
}

pub(crate) fn stopped(fatal: openraft::errors::Fatal<Types>) -> MembershipError {
    MembershipError::Stopped { why: fatal.to_string() }
}

pub(crate) fn failed(error: WriteError) -> MembershipError {
    match error {
        RaftError::Fatal(fatal) => stopped(fatal),
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            MembershipError::NotLeader { leader: pointed_to(to) }
        }
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(to)) => {
            MembershipError::Unknown { why: to.to_string() }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
        )) => MembershipError::InProgress,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            MembershipError::refused(error.to_string())
        }
        RaftError::APIError(ClientWriteError::PreconditionFailed(error)) => MembershipError::refused(error.to_string()),
    }
}
