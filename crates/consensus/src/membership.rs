//! Changing who the members are. All of it is done by the leader, one change at a time, and can be repeated: what is
//! already done is done, and a change of the voters that a dead leader left half done is finished first.

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
    config::{CAUGHT_UP_ENTRIES, Timing},
    error::MembershipError,
    raft_types::{Addresses, Raft, Types, pointed_to},
    status::metrics,
};

/// How long a learner may take to catch up before its promotion is refused.
const CATCH_UP: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Election times that a transfer may take: it either works at once or needs an election.
const TRANSFER_ELECTIONS: u32 = 4;

type WriteError = RaftError<Types, ClientWriteError<Types>>;

/// The operations, over one node.
pub(crate) struct Members<'a> {
    pub(crate) me: Member,
    pub(crate) raft: &'a Raft,
    pub(crate) state: &'a SharedState,
    pub(crate) owner: &'a Owner,
    pub(crate) timing: Timing,
}

impl Members<'_> {
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
        let nodes: BTreeMap<u64, Addresses> = nodes.into_values().map(Addresses::of).collect();
        self.raft.initialize(nodes).await.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => MembershipError::AlreadyFormed,
            RaftError::APIError(InitializeError::NotInMembers(error)) => MembershipError::refused(error.to_string()),
            RaftError::Fatal(fatal) => stopped(fatal),
        })
    }

    /// Adds a member that gets the log but has no vote yet.
    pub(crate) async fn add_learner(&self, member: Member) -> Result<(), MembershipError> {
        check(&member)?;
        if let Some(known) = self.known(member.id) {
            if known == member {
                return Ok(());
            }
            let why =
                format!("node {} is a member at {}: remove it, then add it with a new id", known.id, known.raft_addr);
            return Err(MembershipError::refused(why));
        }
        if self.state.read().membership.retired.contains(&member.id) {
            let why = format!("node id {} was used before: give the node a new id and an empty directory", member.id);
            return Err(MembershipError::refused(why));
        }
        if let Some(other) = self.members().into_values().find(|other| other.raft_addr == member.raft_addr) {
            return Err(MembershipError::refused(format!("{} is the address of node {}", member.raft_addr, other.id)));
        }
        let (id, addresses) = Addresses::of(member);
        self.raft.add_learner(id, addresses, false).await.map(drop).map_err(failed)
    }

    /// Makes a learner a voter, once it has caught up.
    pub(crate) async fn promote(&self, id: u64) -> Result<(), MembershipError> {
        self.finish_joint().await?;
        if self.known(id).is_none() {
            return Err(MembershipError::refused(format!("node {id} is not a member: add it first")));
        }
        if self.voters().contains(&id) {
            return Ok(());
        }
        self.wait_until_caught_up(id).await?;
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
    }

    /// Removes a member. Its id is never used again.
    pub(crate) async fn remove(&self, id: u64) -> Result<(), MembershipError> {
        self.finish_joint().await?;
        if self.known(id).is_none() {
            return Ok(());
        }
        let voters = self.voters();
        if !voters.contains(&id) {
            return self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id])), false).await;
        }
        if voters.len() == 1 {
            return Err(MembershipError::refused(format!("node {id} is the last voter: add another one first")));
        }
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id])), false).await
    }

    /// Hands leadership to `to`. Returns when it leads.
    pub(crate) async fn transfer_leader(&self, to: u64) -> Result<(), MembershipError> {
        let seen = metrics(self.raft);
        if seen.current_leader == Some(to) {
            return Ok(());
        }
        if !seen.state.is_leader() {
            return Err(MembershipError::NotLeader { leader: self.leader() });
        }
        if !self.voters().contains(&to) {
            return Err(MembershipError::refused(format!("node {to} is not a voter")));
        }
        let matched = seen.replication.as_ref().and_then(|all| all.get(&to)).and_then(|matched| matched.index());
        let (have, want) = (matched.unwrap_or(0), seen.last_log_index.unwrap_or(0));
        if want.saturating_sub(have) > CAUGHT_UP_ENTRIES {
            return Err(MembershipError::Behind { id: to, have, want });
        }
        self.raft.trigger().transfer_leader(to).await.map_err(stopped)?;
        let patience = Duration::from_millis(self.timing.election_max_ms) * TRANSFER_ELECTIONS;
        let led = self.raft.wait(Some(patience)).current_leader(to, "leadership is transferred").await;
        led.map(drop).map_err(|_| MembershipError::Unknown { why: format!("node {to} does not lead yet") })
    }

    async fn wait_until_caught_up(&self, id: u64) -> Result<(), MembershipError> {
        let deadline = tokio::time::Instant::now() + CATCH_UP;
        loop {
            let seen = metrics(self.raft);
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

    async fn finish_joint(&self) -> Result<(), MembershipError> {
        if metrics(self.raft).membership_config.membership().get_joint_config().len() <= 1 {
            return Ok(());
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await
    }

    async fn change(&self, change: ChangeMembers<u64, Addresses>, retain: bool) -> Result<(), MembershipError> {
        self.raft.change_membership(change, retain).await.map(drop).map_err(failed)
    }

    fn members(&self) -> BTreeMap<u64, Member> {
        let seen = metrics(self.raft);
        seen.membership_config.nodes().map(|(id, addresses)| (*id, addresses.member(*id))).collect()
    }

    fn known(&self, id: u64) -> Option<Member> {
        self.members().remove(&id)
    }

    fn voters(&self) -> BTreeSet<u64> {
        metrics(self.raft).membership_config.voter_ids().collect()
    }

    fn leader(&self) -> Option<Member> {
        metrics(self.raft).current_leader.and_then(|id| self.known(id))
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

fn stopped(fatal: openraft::errors::Fatal<Types>) -> MembershipError {
    MembershipError::Stopped { why: fatal.to_string() }
}

fn failed(error: WriteError) -> MembershipError {
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
