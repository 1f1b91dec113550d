//! A leader whose disk does not answer lets somebody else lead.
//!
//! The followers' disks are a quorum without it, so entries are committed on; but nothing is applied here any more, and
//! nobody is answered. It never tells anybody that something is done which is not: it only stops asking to be the leader.

use std::time::Duration;

use openraft::ServerState;

use crate::{
    config::Timing,
    hold::{Hold, Holding},
    raft_types::Raft,
    status::{has_answered, matched, metrics},
};

/// A write that takes longer is no slow one: the disk hangs. Leadership has moved a second later at most.
const HANGS: Duration = Duration::from_millis(900);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Once the disk has answered, so long until this node may lead again.
const RECOVERED: Duration = Duration::from_secs(5);

/// What is watched.
pub(crate) struct DiskWatch {
    pub(crate) raft: Raft,
    /// How long the write under way has taken so far.
    pub(crate) busy_for: Box<dyn Fn() -> Duration + Send + Sync>,
    pub(crate) holding: Holding,
    pub(crate) timing: Timing,
}

impl DiskWatch {
    /// Looks at the writer for as long as the node runs.
    pub(crate) async fn run(self) {
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            if (self.busy_for)() < HANGS {
                continue;
            }
            let Some(other) = self.healthier() else { continue };
            tracing::error!(
                busy_ms = (self.busy_for)().as_millis() as u64,
                other,
                "the disk does not answer: this node stops leading, and does not try to lead until it does"
            );
            self.give_up(other).await;
        }
    }

    /// The voter that has the most of the log, where one answers and has all that is known to be on this disk: where all
    /// disks hang, moving on helps nobody.
    fn healthier(&self) -> Option<u64> {
        let seen = metrics(&self.raft);
        if seen.state != ServerState::Leader {
            return None;
        }
        let fresh = Duration::from_millis(self.timing.election_max_ms);
        let voters = seen.membership_config.voter_ids().filter(|id| *id != seen.id);
        let best = voters.filter(|id| has_answered(&seen, *id, fresh)).max_by_key(|id| (matched(&seen, *id), *id))?;
        (matched(&seen, best) >= matched(&seen, seen.id)).then_some(best)
    }

    async fn give_up(&self, other: u64) {
        self.holding.set(Hold::Stalled);
        self.raft.runtime_config().elect(false);
        // Where it lacks the entries that came in last it does not stand, and an election follows: this leader is silent
        // from now on either way.
        if self.raft.trigger().transfer_leader(other).await.is_err() {
            return;
        }
        while (self.busy_for)() >= HANGS {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.holding.set(Hold::None);
        tokio::time::sleep(RECOVERED).await;
        tracing::info!("the disk answers again: this node may lead again");
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
    use crate::{Config, Consensus};

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
        let watch = DiskWatch {
            raft: leader.raft(),
            busy_for: Box::new({
                let hangs = Arc::clone(&hangs);
                move || if hangs.load(Relaxed) { HANGS } else { Duration::ZERO }
            }),
            holding: leader.holding(),
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
