//! A leader that another voter would do better without lets it lead.
//!
//! - Its disk hangs: the followers' disks are a quorum without it, so entries are committed on; but nothing is applied here any
//!   more, and nobody is answered.
//! - Its disk is slow, or full, and another voter's is not. Where all are, it stays: moving on helps nobody.
//! - It is heard, and nothing that it proposes is committed: what it sends is lost on the way, or those who get it cannot
//!   write.
//!
//! It never tells anybody that something is done which is not: it only stops asking to be the leader.

mod progress;

use std::time::Duration;

use openraft::{LogIdOptionExt, ServerState};
use tokio::time::Instant;

use self::progress::Progress;
use crate::{
    changes::Changes,
    config::Timing,
    disks::Disks,
    handover::Handover,
    hold::{Hold, Holding},
    raft_types::{Raft, Types},
    status::{has_answered, matched, metrics},
};

/// A write that takes longer is no slow one: the disk hangs. Leadership has moved a second later at most.
const HANGS: Duration = Duration::from_millis(900);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Once the disk has answered, so long until this node may lead again.
const RECOVERED: Duration = Duration::from_secs(5);
/// A sync that takes so long is slow, where one of another voter takes a part of it.
const SLOW_US: u32 = 40_000;
const FASTER: u32 = 4;
/// So long another's disk has to stay the faster one: where all become slow together, each says so a few syncs after the other.
const SURE: Duration = Duration::from_millis(300);
/// After leadership was handed over for a better disk, and after that has failed.
const CALM: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);
/// Election times until another node leads.
const ELECTIONS: u32 = 4;

type Metrics = openraft::RaftMetrics<Types>;

/// A voter that had better lead.
#[derive(Clone, Copy, Debug)]
struct Better {
    id: u64,
    why: &'static str,
    /// For how long it must have been better.
    sure_after: Duration,
}

/// What is watched.
pub(crate) struct Leading {
    pub(crate) raft: Raft,
    /// How long the write under way has taken so far.
    pub(crate) busy_for: Box<dyn Fn() -> Duration + Send + Sync>,
    pub(crate) disks: Disks,
    pub(crate) holding: Holding,
    /// One handover at a time, whoever asks for it.
    pub(crate) handovers: Changes,
    pub(crate) timing: Timing,
}

impl Leading {
    /// Looks for as long as the node runs.
    pub(crate) async fn run(self) {
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut progress, mut not_before, mut better_since) = (Progress::default(), Instant::now(), None);
        loop {
            timer.tick().await;
            let seen = metrics(&self.raft);
            if seen.state != ServerState::Leader {
                progress.ends();
                better_since = None;
                continue;
            }
            let (last, committed) = (seen.last_log_index.unwrap_or(0), seen.cluster_committed.index().unwrap_or(0));
            let now = Instant::now();
            let stuck = progress.is_stuck(last, committed, now);
            let better = self.better_disk(&seen);
            better_since = better.and(better_since.or(Some(now)));
            if (self.busy_for)() >= HANGS
                && let Some(other) = self.healthier(&seen)
            {
                let busy_ms = (self.busy_for)().as_millis() as u64;
                tracing::error!(busy_ms, other, "the disk does not answer: this node stops leading until it does");
                self.give_up(other, seen.current_term).await;
            } else if stuck && let Some(other) = self.quorum_without_progress(&seen) {
                tracing::error!(last, committed, other, "nothing is committed any more: this node stops leading");
                progress.gave_up(now);
                self.give_up(other, seen.current_term).await;
            } else if now >= not_before
                && let Some((better, since)) = better.zip(better_since)
                && now - since >= better.sure_after
            {
                not_before = Instant::now() + self.hand_over(better).await;
                better_since = None;
            }
        }
    }

    /// The other voters that have answered within an election time.
    fn answering(&self, seen: &Metrics) -> Vec<u64> {
        let fresh = Duration::from_millis(self.timing.election_max_ms);
        let voters = seen.membership_config.voter_ids();
        voters.filter(|id| *id != seen.id && has_answered(seen, *id, fresh)).collect()
    }

    /// The voter that has the most of the log, where one answers and has all that is known to be on this disk: where all
    /// disks hang, moving on helps nobody.
    fn healthier(&self, seen: &Metrics) -> Option<u64> {
        let best = self.answering(seen).into_iter().max_by_key(|id| (matched(seen, *id), *id))?;
        (matched(seen, best) >= matched(seen, seen.id)).then_some(best)
    }

    /// The voter that has the most of the log, where enough answer to elect one.
    fn quorum_without_progress(&self, seen: &Metrics) -> Option<u64> {
        let answering = self.answering(seen);
        let quorum = seen.membership_config.voter_ids().count() / 2 + 1;
        let best = answering.iter().copied().max_by_key(|id| (matched(seen, *id), *id))?;
        (answering.len() + 1 >= quorum).then_some(best)
    }

    /// A voter whose disk has room, or is faster by far, where this node's is not.
    fn better_disk(&self, seen: &Metrics) -> Option<Better> {
        let own = self.disks.own();
        if !own.full && own.sync_us < SLOW_US {
            return None;
        }
        let others = self.answering(seen).into_iter().filter_map(|id| Some((id, self.disks.of(id)?)));
        let roomy = others.filter(|(_, disk)| !disk.full);
        let (better, why, sure_after): (Vec<_>, _, _) = if own.full {
            (roomy.collect(), "the disk of this node is full", Duration::ZERO)
        } else {
            let is_faster = |us: u32| us > 0 && us.saturating_mul(FASTER) <= own.sync_us;
            (roomy.filter(|(_, disk)| is_faster(disk.sync_us)).collect(), "the disk of this node is slow", SURE)
        };
        let id = better.into_iter().map(|(id, _)| id).max_by_key(|id| (matched(seen, *id), *id))?;
        Some(Better { id, why, sure_after })
    }

    /// In order, and says how long to wait before the next time.
    async fn hand_over(&self, Better { id: to, why, .. }: Better) -> Duration {
        let sync_us = self.disks.own().sync_us;
        tracing::warn!(to, sync_us, why, "another node had better lead");
        let (raft, holding, timing) = (self.raft.clone(), self.holding.clone(), self.timing);
        match self.handovers.run(Handover { raft, holding, timing }.run(Some(to))).await {
            Ok(_) => CALM,
            Err(error) => {
                tracing::warn!(%error, "leadership was not handed over");
                AGAIN
            }
        }
    }

    async fn give_up(&self, other: u64, term: u64) {
        let held = self.holding.hold(Hold::Stalled);
        self.raft.runtime_config().elect(false);
        // Where it lacks the entries that came in last it does not stand, and an election follows: this leader is silent
        // from now on either way.
        if self.raft.trigger().transfer_leader(other).await.is_err() {
            return;
        }
        let patience = Duration::from_millis(self.timing.election_max_ms) * ELECTIONS;
        let settled = |seen: &Metrics| seen.current_term > term && seen.current_leader.is_some();
        // Should nobody be elected by then, this node is as good as any.
        let _ = self.raft.wait(Some(patience)).metrics(settled, "another node leads").await;
        while (self.busy_for)() >= HANGS {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        drop(held);
        tokio::time::sleep(RECOVERED).await;
        tracing::info!("this node may lead again");
        self.raft.runtime_config().elect(true);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::Relaxed},
        },
    };

    use gantry_store::Member;
    use tokio::{net::TcpListener, task::JoinHandle};

    use super::*;
    use crate::{Config, Consensus, wire::proto::Disk};

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn start(id: u64, dir: &Path) -> (Consensus, JoinHandle<()>) {
        let free = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (raft, client) = (free().await, free().await.local_addr().unwrap());
        let config =
            Config::new(id, raft.local_addr().unwrap().to_string(), client.to_string(), dir.join(id.to_string()));
        let consensus = Consensus::start(config).await.unwrap();
        let serving = consensus.clone();
        let serving = tokio::spawn(async move { serving.serve(raft, std::future::pending()).await.unwrap() });
        (consensus, serving)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_leader_whose_disk_hangs_lets_another_lead_and_says_so_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for id in 1..=3 {
            nodes.push(start(id, dir.path()).await);
        }
        let members: Vec<Member> = nodes.iter().map(|(node, _)| node.member()).collect();
        nodes[0].0.init(members).await.unwrap();
        let ready = futures::future::select_all(nodes.iter().map(|(node, _)| {
            let mut role = node.role();
            Box::pin(async move { role.wait_for(|role| role.is_leader).await.map(drop) })
        }));
        let (_, at, _) = tokio::time::timeout(PATIENCE, ready).await.unwrap();
        let leader = nodes[at].0.clone();

        let hangs = Arc::new(AtomicBool::new(true));
        let watch = Leading {
            raft: leader.raft(),
            busy_for: Box::new({
                let hangs = Arc::clone(&hangs);
                move || if hangs.load(Relaxed) { HANGS } else { Duration::ZERO }
            }),
            disks: Disks::fake(Disk::default()),
            holding: leader.holding(),
            handovers: Changes::default(),
            timing: crate::Timing::default(),
        };
        let watching = tokio::spawn(watch.run());
        let id = leader.member().id;
        let mut role = leader.role();
        let moved = role.wait_for(|role| !role.is_leader && role.leader.as_ref().is_some_and(|other| other.id != id));
        tokio::time::timeout(PATIENCE, moved).await.expect("it goes on leading").unwrap();
        assert!(!leader.raft().is_leader());
        // While it hangs nothing is proposed here, and nothing is once it leads no more.
        hangs.store(false, Relaxed);
        watching.abort();
        nodes.iter().for_each(|(_, serving)| serving.abort());
    }
}
