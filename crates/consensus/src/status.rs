//! What a node knows of itself and of the cluster.

use std::{collections::BTreeMap, time::Duration};

use gantry_store::{LogPos, Member, Vote};
use openraft::{Instant, LogIdOptionExt};

use crate::{
    convert::{log_pos, stored_vote},
    raft_types::{Raft, Types},
};

type Metrics = openraft::RaftMetrics<Types>;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Learner,
    Follower,
    Candidate,
    Leader,
    Stopped,
}

/// One member, as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    pub member: Member,
    pub is_voter: bool,
    /// The last entry it is known to have; known to the leader only.
    pub matched: Option<LogPos>,
}

/// A node's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub node_id: u64,
    pub cluster: String,
    /// 0 while the node is not part of a cluster.
    pub cluster_id: u64,
    pub standing: Standing,
    pub term: u64,
    /// The newest vote that it gave, or the leader that it follows.
    pub vote: Vote,
    pub leader: Option<u64>,
    pub last_log: Option<u64>,
    pub committed: Option<LogPos>,
    pub applied: Option<LogPos>,
    pub snapshot: Option<LogPos>,
    pub purged: Option<LogPos>,
    /// By id.
    pub members: Vec<MemberStatus>,
    /// A change of the voters is half done: do it again.
    pub is_joint: bool,
    /// Why the node has stopped, where it has.
    pub stopped: Option<String>,
}

/// The library's metrics at this moment.
pub(crate) fn metrics(raft: &Raft) -> Metrics {
    use openraft::async_runtime::watch::WatchReceiver;
    // Cloned at once: the library's core waits for whoever holds on to them.
    raft.metrics().borrow_watched().clone()
}

/// Whether a member has answered this leader within `time`.
pub(crate) fn has_answered(seen: &Metrics, id: u64, time: Duration) -> bool {
    let acked = seen.heartbeat.as_ref().and_then(|all| all.get(&id).copied().flatten());
    acked.is_some_and(|acked| acked.elapsed() <= time)
}

/// The index up to which a member's log is known to match this leader's.
pub(crate) fn matched(seen: &Metrics, id: u64) -> u64 {
    let matched = seen.replication.as_ref().and_then(|all| all.get(&id)).and_then(|matched| matched.index());
    matched.unwrap_or(0)
}

pub(crate) fn describe(metrics: &Metrics, cluster: String, cluster_id: u64) -> Status {
    let membership = metrics.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().collect();
    let matched: BTreeMap<u64, LogPos> = metrics
        .replication
        .iter()
        .flatten()
        .filter_map(|(id, matched)| matched.as_ref().map(|matched| (*id, log_pos(*matched))))
        .collect();
    let members = membership.nodes().map(|(id, addresses)| MemberStatus {
        member: addresses.member(*id),
        is_voter: voters.contains(id),
        matched: matched.get(id).copied(),
    });
    Status {
        node_id: metrics.id,
        cluster,
        cluster_id,
        standing: standing(metrics),
        term: metrics.current_term,
        vote: stored_vote(&metrics.vote),
        leader: metrics.current_leader,
        last_log: metrics.last_log_index,
        committed: metrics.local_committed.map(log_pos),
        applied: metrics.last_applied.map(log_pos),
        snapshot: metrics.snapshot.map(log_pos),
        purged: metrics.purged.map(log_pos),
        members: members.collect(),
        is_joint: membership.get_joint_config().len() > 1,
        stopped: metrics.running_state.as_ref().err().map(ToString::to_string),
    }
}

fn standing(metrics: &Metrics) -> Standing {
    use openraft::ServerState;
    match metrics.state {
        ServerState::Learner => Standing::Learner,
        ServerState::Follower => Standing::Follower,
        ServerState::Candidate => Standing::Candidate,
        ServerState::Leader => Standing::Leader,
        ServerState::Shutdown => Standing::Stopped,
    }
}
