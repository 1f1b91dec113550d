//! Leadership is handed over: this leader stops taking on, finishes what it has, and lets a voter lead that has all of it.
//!
//! Once the library is told, it refuses everything and sends no more heartbeats until somebody else leads, whatever becomes
//! of the one it told. So it is told last, and only of a voter that answers and lacks nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    config::{CAUGHT_UP_ENTRIES, Timing},
    error::MembershipError,
    hold::{Hold, Holding},
    membership::{failed, stopped},
    raft_types::{Raft, Types},
    status::{has_answered, matched, metrics},
};

/// How long a voter that has been silent may take to answer before it is given up.
const HEARD: Duration = Duration::from_secs(1);
/// How long the voter may take to get the last entries. Meanwhile callers wait.
const DRAIN: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Election times that the rest may take: it either works at once or needs an election.
const ELECTIONS: u32 = 4;

type Metrics = openraft::RaftMetrics<Types>;

/// One handover, by the leader.
pub(crate) struct Handover {
    pub(crate) raft: Raft,
    pub(crate) holding: Holding,
    pub(crate) timing: Timing,
}

impl Handover {
    /// Hands leadership to `to`, or to the voter that is furthest ahead, and returns who leads then.
    pub(crate) async fn run(self, to: Option<u64>) -> Result<u64, MembershipError> {
        let (near, seen) = self.candidate(to).await?;
        let (have, want) = (matched(&seen, near), seen.last_log_index.unwrap_or(0));
        if want.saturating_sub(have) > CAUGHT_UP_ENTRIES {
            return Err(MembershipError::Behind { id: near, have, want });
        }
        let _held = self.holding.hold(Hold::HandingOver);
        let told = match self.drained(to).await {
            Ok(chosen) => self.raft.trigger().transfer_leader(chosen).await.map(|()| chosen).map_err(stopped),
            Err(error) => Err(error),
        };
        self.led(told?, seen.current_term).await
    }

    /// The best candidate. One that has just come back, or was dialled anew, may take a moment to answer; meanwhile this node
    /// leads on.
    async fn candidate(&self, to: Option<u64>) -> Result<(u64, Metrics), MembershipError> {
        let deadline = Instant::now() + HEARD;
        loop {
            let seen = metrics(&self.raft);
            if let Some(near) = self.candidates(&seen, to).first().copied() {
                return Ok((near, seen));
            }
            let mut others = seen.membership_config.voter_ids().filter(|id| *id != seen.id);
            let may_come = others.any(|id| to.is_none_or(|to| to == id));
            if !may_come || Instant::now() >= deadline {
                return Err(self.nobody(&seen, to));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whom leadership may go to, best first: voters that have answered within an election time.
    fn candidates(&self, seen: &Metrics, to: Option<u64>) -> Vec<u64> {
        let fresh = Duration::from_millis(self.timing.election_max_ms);
        let voters = seen.membership_config.voter_ids().filter(|id| *id != seen.id);
        let mut voters: Vec<u64> =
            voters.filter(|id| to.is_none_or(|to| to == *id)).filter(|id| has_answered(seen, *id, fresh)).collect();
        voters.sort_unstable_by_key(|id| std::cmp::Reverse((matched(seen, *id), *id)));
        voters
    }

    fn nobody(&self, seen: &Metrics, to: Option<u64>) -> MembershipError {
        let voters: Vec<u64> = seen.membership_config.voter_ids().collect();
        MembershipError::refused(match to {
            Some(to) if !voters.contains(&to) => format!("node {to} is not a voter"),
            Some(to) => format!("node {to} has not answered lately: it cannot lead now"),
            None if voters.len() <= 1 => "there is no other voter to hand leadership to".to_owned(),
            None => "no other voter has answered lately: none can lead now".to_owned(),
        })
    }

    /// Waits until everything proposed so far is applied here, and one of the candidates has all of it: that one.
    async fn drained(&self, to: Option<u64>) -> Result<u64, MembershipError> {
        let deadline = Instant::now() + DRAIN;
        // Comes after everything that was proposed before the hold, and is committed only with it.
        let last = tokio::time::timeout_at(deadline, self.raft.write_blank()).await;
        let want = match last {
            Ok(written) => written.map_err(failed)?.log_id().index,
            Err(_) => {
                return Err(MembershipError::refused("what is under way was not finished in time: try again later"));
            }
        };
        loop {
            let seen = metrics(&self.raft);
            let candidates = self.candidates(&seen, to);
            if let Some(chosen) = candidates.iter().copied().find(|id| matched(&seen, *id) >= want) {
                return Ok(chosen);
            }
            if Instant::now() >= deadline {
                let near = candidates.first().copied();
                return Err(near.map_or_else(
                    || self.nobody(&seen, to),
                    |id| MembershipError::Behind { id, have: matched(&seen, id), want },
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until another node leads: `chosen`, or whoever won the election that a failed transfer ends in.
    async fn led(&self, chosen: u64, term: u64) -> Result<u64, MembershipError> {
        let patience = Duration::from_millis(self.timing.election_max_ms) * ELECTIONS;
        let settled = |seen: &Metrics| seen.current_term > term && seen.current_leader.is_some();
        let led = self.raft.wait(Some(patience)).metrics(settled, "another node leads").await;
        match led.map(|seen| seen.current_leader) {
            Ok(Some(leader)) if leader == chosen => Ok(leader),
            Ok(Some(leader)) => {
                Err(MembershipError::Unknown { why: format!("node {leader} leads now, not node {chosen}") })
            }
            Ok(None) | Err(_) => Err(MembershipError::Unknown { why: format!("node {chosen} does not lead yet") }),
        }
    }
}
