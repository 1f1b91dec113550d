//! Who leads, and whether this node is ready to propose; and the end of the node, should it come.

use gantry_store::{Member, SharedState};
use gantry_types::Rev;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::raft_types::{Raft, Types};

type ServerMetrics = openraft::metrics::RaftServerMetrics<Types>;

/// This node's part in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    pub term: u64,
    pub node_id: u64,
    /// Who leads, as far as this node knows.
    pub leader: Option<Member>,
    /// This node leads, and has applied everything that was committed before it did: what it plans now is planned on the
    /// current state.
    pub is_leader: bool,
}

/// Follows the library's view of the leader for as long as the node runs; then says why it no longer does.
pub(crate) async fn follow(
    raft: Raft,
    state: SharedState,
    mut applied: watch::Receiver<Rev>,
    role: watch::Sender<Role>,
    stopped: watch::Sender<Option<String>>,
) {
    let mut metrics = raft.server_metrics();
    loop {
        let seen = metrics.borrow_and_update().clone();
        let leads = seen.state.is_leader();
        let ready = leads && has_applied_own(&seen, &state);
        let next = describe(&seen, ready);
        role.send_if_modified(|role| std::mem::replace(role, next.clone()) != next);
        let changed = if leads && !ready {
            tokio::select! {
                changed = metrics.changed() => changed.is_ok(),
                applied = applied.changed() => applied.is_ok(),
            }
        } else {
            metrics.changed().await.is_ok()
        };
        if !changed {
            break;
        }
    }
    role.send_modify(|role| (role.leader, role.is_leader) = (None, false));
    let end = raft.metrics().borrow_watched().running_state.clone();
    let why = end.err().map_or_else(|| "it was shut down".to_owned(), |fatal| fatal.to_string());
    // It may have been told why before.
    stopped.send_modify(|stopped| {
        stopped.get_or_insert(why);
    });
}

/// A new leader's first entry is committed only together with everything before it.
fn has_applied_own(seen: &ServerMetrics, state: &SharedState) -> bool {
    let applied = state.read().applied;
    applied
        .is_some_and(|applied| (applied.term, applied.node) == (seen.vote.leader_id.term, seen.vote.leader_id.node_id))
}

fn describe(seen: &ServerMetrics, is_leader: bool) -> Role {
    let leader =
        seen.current_leader.and_then(|id| seen.membership_config.get_node(&id).map(|addresses| addresses.member(id)));
    Role { term: seen.vote.leader_id.term, node_id: seen.id, leader, is_leader }
}
