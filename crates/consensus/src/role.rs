//! Who leads, and whether this node is ready to propose; and the end of the node, should it come.

use std::time::Duration;

use gantry_store::{Member, SharedState, watch};
use gantry_types::Rev;
use openraft::{Instant as _, async_runtime::watch::WatchReceiver};
use tokio::time::Instant;

use crate::{
    config::Timing,
    hold::{Hold, Holding},
    raft_types::{Raft, Types},
};

type ServerMetrics = openraft::metrics::RaftServerMetrics<Types>;

/// How often in the time that an isolated leader has left it is looked whether its followers still answer.
const LOOKS: u32 = 6;

/// This node's part in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    pub term: u64,
    pub node_id: u64,
    /// Who leads, as far as this node knows.
    pub leader: Option<Member>,
    /// This node leads, a quorum follows it, and it has applied everything that was committed before it did: what it plans
    /// now is planned on the current state.
    pub is_leader: bool,
    /// Who leads is being settled, within milliseconds: this node is elected and not yet sure of its state, or it hands
    /// over. A call does better to wait for that than to ask elsewhere. Nothing new may be proposed.
    pub is_settling: bool,
    /// This node was elected, and its followers or its disk do not answer: it may be the last to hear who leads now.
    pub is_cut_off: bool,
}

/// What a node's role follows from.
pub(crate) struct Sight {
    pub(crate) raft: Raft,
    pub(crate) state: SharedState,
    pub(crate) applied: watch::Receiver<Rev>,
    pub(crate) holding: Holding,
    pub(crate) timing: Timing,
    /// Since when it leads, and in which term.
    pub(crate) elected: Option<(u64, Instant)>,
}

/// Follows the library's view of the leader for as long as the node runs; then says why it no longer does.
pub(crate) async fn follow(mut sight: Sight, role: watch::Sender<Role>, stopped: watch::Sender<Option<String>>) {
    let mut metrics = sight.raft.server_metrics();
    let mut hold = sight.holding.subscribe();
    let look_every = sight.patience() / LOOKS;
    loop {
        let seen = metrics.borrow_and_update().clone();
        sight.note_election(&seen);
        let next = sight.role(&seen, hold.borrow_and_update().why());
        let (leads, ready) = (seen.state.is_leader(), next.is_leader);
        role.send_if_modified(|role| std::mem::replace(role, next.clone()) != next);
        let changed = tokio::select! {
            biased;
            changed = metrics.changed() => changed.is_ok(),
            changed = hold.changed() => changed.is_ok(),
            applied = sight.applied.changed(), if leads && !ready => applied.is_ok(),
            () = tokio::time::sleep(look_every), if leads => true,
        };
        if !changed {
            break;
        }
    }
    role.send_modify(|role| (role.leader, role.is_leader, role.is_settling) = (None, false, false));
    let end = sight.raft.metrics().borrow_watched().running_state.clone();
    let why = end.err().map_or_else(|| "it was shut down".to_owned(), |fatal| fatal.to_string());
    // It may have been told why before.
    stopped.send_modify(|stopped| {
        stopped.get_or_insert(why);
    });
}

impl Sight {
    fn note_election(&mut self, seen: &ServerMetrics) {
        let term = seen.vote.leader_id.term;
        let known = self.elected.filter(|(of, _)| *of == term);
        self.elected = seen.state.is_leader().then(|| known.unwrap_or_else(|| (term, Instant::now())));
    }

    fn role(&self, seen: &ServerMetrics, hold: Hold) -> Role {
        let leads = seen.state.is_leader() && hold != Hold::Stalled && self.is_followed(seen);
        let is_cut_off = seen.state.is_leader() && !leads;
        let ready = leads && has_applied_own(seen, &self.state);
        // One that is not followed, or cannot write, knows no leader: least of all itself.
        let leader = seen.current_leader.filter(|id| leads || *id != seen.id);
        let leader = leader.and_then(|id| seen.membership_config.get_node(&id).map(|addresses| addresses.member(id)));
        let is_leader = ready && hold == Hold::None;
        let hands_over = hold == Hold::HandingOver && leader.as_ref().is_none_or(|leader| leader.id == seen.id);
        let is_settling = hands_over || (leads && !ready);
        Role { term: seen.vote.leader_id.term, node_id: seen.id, leader, is_leader, is_settling, is_cut_off }
    }

    /// Whether a quorum answered recently enough that nobody else can have been elected since.
    fn is_followed(&self, seen: &ServerMetrics) -> bool {
        if seen.membership_config.membership().voter_ids().count() == 1 {
            return true;
        }
        let data = self.raft.data_metrics();
        let acked = data.borrow_watched().last_quorum_acked.map(|acked| acked.elapsed());
        let elected = self.elected.map(|(_, since)| since.elapsed());
        // The later of the two: one that was elected a moment ago has no answers yet.
        [acked, elected].into_iter().flatten().min().is_some_and(|ago| ago <= self.patience())
    }

    /// Followers wait for the lease, and then for some more.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.timing.election_max_ms + self.timing.election_min_ms)
    }
}

/// A new leader's first entry is committed only together with everything before it.
fn has_applied_own(seen: &ServerMetrics, state: &SharedState) -> bool {
    let applied = state.read().applied;
    applied
        .is_some_and(|applied| (applied.term, applied.node) == (seen.vote.leader_id.term, seen.vote.leader_id.node_id))
}
