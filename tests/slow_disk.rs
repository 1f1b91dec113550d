//! Disks that are slow: the leader's own makes another node lead, and all of them together change nothing.

use std::{fs, time::Duration};

use gantry_bench::cluster::shim::Act;

use crate::{
    failover::Load,
    shimmed::{NODES, Rig},
};

const SLOW: Act<'_> = Act::Delay { ms: 100 };
const POLL: Duration = Duration::from_millis(20);
/// Long enough for a leader to find out that its disk is slow, several times over.
const A_WHILE: Duration = Duration::from_secs(4);
/// Only to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const MOVED: &str = "another node had better lead";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_slow_disk_lets_another_lead() {
    let rig = Rig::start().await;
    let load = Load::start(&rig.cluster.addrs());
    load.goes_on().await;
    let leader = rig.leader().await;
    rig.shim.tell(leader, SLOW).expect("orders can be written");
    let moved = async {
        while rig.leader().await == leader {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.expect("it goes on leading");
    load.goes_on().await;
    assert!(log(&rig, leader).contains(MOVED), "it moved for another reason");
    rig.shim.tell(leader, Act::Work).expect("orders can be written");
    load.stop().await.kept(&rig.cluster, &rig.fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_stays_where_all_disks_are_slow() {
    let rig = Rig::start().await;
    let load = Load::start(&rig.cluster.addrs());
    load.goes_on().await;
    for id in 1..=NODES {
        rig.shim.tell(id, SLOW).expect("orders can be written");
    }
    load.goes_on().await;
    tokio::time::sleep(A_WHILE).await;
    load.goes_on().await;
    for id in 1..=NODES {
        assert!(!log(&rig, id).contains(MOVED), "node {id} handed over to one that is no better");
        rig.shim.tell(id, Act::Work).expect("orders can be written");
    }
    load.stop().await.kept(&rig.cluster, &rig.fleet).await;
}

/// A candidate waits for votes no longer than for two of these syncs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_disks_are_slow_another_leader_is_elected() {
    let mut rig = Rig::start().await;
    let load = Load::start(&rig.cluster.addrs());
    load.goes_on().await;
    for id in 1..=NODES {
        rig.shim.tell(id, SLOW).expect("orders can be written");
    }
    load.goes_on().await;
    let leader = rig.leader().await;
    rig.cluster.kill(leader).expect("a running node can be killed");
    tokio::time::timeout(PATIENCE, load.goes_on()).await.expect("nobody is elected");
    for id in 1..=NODES {
        rig.shim.tell(id, Act::Work).expect("orders can be written");
    }
    rig.cluster.restart(leader).await.expect("a killed node starts again on its directory");
    load.stop().await.kept(&rig.cluster, &rig.fleet).await;
}

/// As a server with a slow disk does that is about to be restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_disks_are_slow_leadership_can_be_handed_over() {
    let mut rig = Rig::start().await;
    let load = Load::start(&rig.cluster.addrs());
    for id in 1..=NODES {
        rig.shim.tell(id, SLOW).expect("orders can be written");
    }
    load.goes_on().await;
    let leader = rig.leader().await;
    rig.cluster.terminate(leader).await.expect("a running node can be told to end");
    tokio::time::timeout(PATIENCE, load.goes_on()).await.expect("nobody is elected");
    for id in 1..=NODES {
        rig.shim.tell(id, Act::Work).expect("orders can be written");
    }
    rig.cluster.restart(leader).await.expect("it starts again on its directory");
    load.stop().await.kept(&rig.cluster, &rig.fleet).await;
}

/// All that a server has logged.
fn log(rig: &Rig, id: u64) -> String {
    let dir = rig.cluster.data_dir().expect("the cluster has a directory");
    fs::read_to_string(dir.join(format!("node-{id}")).join("server.log")).expect("it has a log")
}
