//! Syncs that fail: whatever file it is of, the server that gets the error says so and ends, because nobody knows what the disk
//! has after it. The others go on, the server comes back from what is durable, and nothing acknowledged is lost.

use std::time::Duration;

use gantry_bench::cluster::shim::Act;

use crate::{failover::Load, shimmed::Rig, support::place};

/// After it a server that has nothing to do syncs nothing more.
const AT_REST: Duration = Duration::from_millis(1_500);
const POLL: Duration = Duration::from_millis(10);
/// Only to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

impl Rig {
    fn fail(&self, id: u64, nth: u32, part: &str) {
        self.shim.tell(id, Act::Fail { nth, part }).expect("orders can be written");
    }

    /// Waits until the server has ended by itself: not in order, and with the reason in its log.
    async fn ends(&mut self, id: u64) {
        let ended = async {
            loop {
                if let Some(exit) = self.cluster.ended(id).expect("the server was started") {
                    return exit;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let exit = tokio::time::timeout(PATIENCE, ended).await.expect("the server goes on after a failed sync");
        let log = self.cluster.log_of(id).expect("it has a log");
        assert!(!exit.success() && log.contains("Input/output error"), "{exit}: {log}");
    }

    async fn comes_back(&mut self, id: u64) {
        self.shim.tell(id, Act::Work).expect("orders can be written");
        self.cluster.restart(id).await.expect("it starts on what is durable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_sync_fails_ends_and_loses_nothing() {
    let mut rig = Rig::start().await;
    let load = Load::start(&rig.cluster.addrs());
    for (leads, nth, part) in [
        (false, 1, ".log"),
        (false, 7, ".log"),
        (true, 1, ".log"),
        (true, 12, ".log"),
        (false, 1, "/mark"),
        (true, 2, "/mark"),
    ] {
        load.goes_on().await;
        let id = if leads { rig.leader().await } else { rig.follower().await };
        rig.fail(id, nth, part);
        rig.ends(id).await;
        load.goes_on().await;
        rig.comes_back(id).await;
    }
    load.goes_on().await;
    load.stop().await.kept(&rig.cluster, &rig.fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_cannot_be_synced_is_not_given() {
    let mut rig = Rig::start().await;
    let load = Load::start(&rig.cluster.addrs());
    load.goes_on().await;
    let told = load.stop().await;
    tokio::time::sleep(AT_REST).await;
    let (leader, voter) = (rig.leader().await, rig.follower().await);
    // The next thing that it writes is its vote, for itself or for the other one.
    rig.fail(voter, 1, ".log");
    rig.cluster.kill(leader).expect("it runs");
    rig.ends(voter).await;
    // The third one is alone: it must not lead.
    let third = 6 - leader - voter;
    let alone = rig.cluster.status(third, false).await.expect("it answers");
    assert_ne!(alone.role, "leader", "it leads by a vote that was not given");
    rig.comes_back(voter).await;
    rig.comes_back(leader).await;
    told.kept(&rig.cluster, &rig.fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_at_rest_whose_sync_fails_does_not_wait_for_the_next_call_to_end() {
    let mut rig = Rig::start().await;
    tokio::time::sleep(AT_REST).await;
    let follower = rig.follower().await;
    // It lies in the page cache until the log has been idle.
    rig.fail(follower, 1, "/mark");
    rig.cluster.client().place(place("last", "app", 1_000)).await.expect("there is room");
    rig.ends(follower).await;
    rig.comes_back(follower).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_sync_fails_while_it_starts_says_so_and_starts_again() {
    let mut rig = Rig::start().await;
    let load = Load::start(&rig.cluster.addrs());
    load.goes_on().await;
    let follower = rig.follower().await;
    for part in ["MANIFEST", ".sst", ".dbtmp"] {
        rig.cluster.kill(follower).expect("it runs");
        rig.fail(follower, 1, part);
        rig.cluster.launch(follower).expect("it was killed");
        rig.ends(follower).await;
        rig.comes_back(follower).await;
        load.goes_on().await;
    }
    load.stop().await.kept(&rig.cluster, &rig.fleet).await;
}
