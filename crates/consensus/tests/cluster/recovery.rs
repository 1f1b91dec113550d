//! Members that were away for so long that the log they need is gone.

use std::{fs, time::Duration};

use crate::node::{Node, agree, cluster, config, eager_snapshots, leader, place};

async fn with_eager_snapshots(nodes: Vec<Node>) -> Vec<Node> {
    let mut restarted = Vec::new();
    for node in nodes {
        let config = node.stop().await;
        restarted.push(Node::start(gantry_consensus::Config { snapshots: eager_snapshots(), ..config }).await);
    }
    restarted
}

/// Waits until the leader has purged log.
async fn purged(nodes: &[Node]) {
    let at = leader(nodes).await;
    for _ in 0..500 {
        if nodes[at].consensus.status().purged.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was purged: {:?}", nodes[at].consensus.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lags_behind_the_log_gets_a_snapshot() {
    let (_dir, nodes) = cluster(&[1, 2, 3]).await;
    let mut nodes = with_eager_snapshots(nodes).await;
    let at = leader(&nodes).await;
    place(&nodes, 0).await;
    let away = nodes.swap_remove((at + 1) % 3).stop().await;
    for number in 1..300 {
        place(&nodes, number).await;
    }
    purged(&nodes).await;
    nodes.push(Node::start(away).await);
    let rev = place(&nodes, 300).await;
    agree(&nodes, rev).await;
    let back = &nodes[2].consensus;
    assert!(back.state().read().installs > 0, "it did not come back by a snapshot: {:?}", back.status());

    // And what it installed is there after the next restart.
    let back = nodes.pop().unwrap().stop().await;
    nodes.push(Node::start(back).await);
    let rev = place(&nodes, 301).await;
    agree(&nodes, rev).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_begins_with_a_snapshot() {
    let (dir, nodes) = cluster(&[1, 2, 3]).await;
    let mut nodes = with_eager_snapshots(nodes).await;
    for number in 0..200 {
        place(&nodes, number).await;
    }
    purged(&nodes).await;
    nodes.push(Node::start(config(4, dir.path()).await).await);
    let at = leader(&nodes).await;
    nodes[at].consensus.add_learner(nodes[3].member()).await.unwrap();
    nodes[at].consensus.promote(4).await.unwrap();
    let rev = place(&nodes, 200).await;
    agree(&nodes, rev).await;
    assert!(nodes[3].consensus.state().read().installs > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_replaced_under_a_new_id() {
    let (dir, mut nodes) = cluster(&[1, 2, 3]).await;
    for number in 0..20 {
        place(&nodes, number).await;
    }
    let at = leader(&nodes).await;
    let lost = nodes.swap_remove((at + 1) % 3);
    let id = lost.id();
    let lost = lost.stop().await;
    // Its last tasks may still be writing.
    while fs::remove_dir_all(&lost.data_dir).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let at = leader(&nodes).await;
    nodes[at].consensus.remove(id).await.unwrap();
    nodes.push(Node::start(config(4, dir.path()).await).await);
    nodes[at].consensus.add_learner(nodes[2].member()).await.unwrap();
    nodes[at].consensus.promote(4).await.unwrap();
    let rev = place(&nodes, 20).await;
    agree(&nodes, rev).await;
}
