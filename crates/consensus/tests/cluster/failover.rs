//! Proposing, losing the leader, and going on.

use std::time::{Duration, Instant};

use gantry_consensus::ProposeError;

use crate::node::{Node, PATIENCE, agree, cluster, entry, leader, place, propose};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_proposals_under_way_are_applied_in_the_order_of_the_calls() {
    let (_dir, nodes) = cluster(&[1, 2, 3]).await;
    let at = leader(&nodes).await;
    let proposals: Vec<_> = (0..500).map(|number| nodes[at].consensus.propose(entry(number))).collect();
    let mut revs = Vec::new();
    for proposal in proposals {
        let applied = proposal.await.unwrap();
        assert!(applied.outcomes[0].is_ok());
        revs.push(applied.rev);
    }
    assert!(revs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "call order is log order");
    let last = *revs.last().unwrap();
    agree(&nodes, last).await;
    for node in &nodes {
        let state = node.consensus.state();
        let state = state.read();
        assert_eq!((state.fleet.host_count(), state.last_proposal), (500, (1, 499)));
        state.fleet.check().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_before_it_is_proposed_is_definite() {
    let (_dir, nodes) = cluster(&[1, 2, 3]).await;
    let at = leader(&nodes).await;
    let follower = &nodes[(at + 1) % 3];
    follower.reaches(1).await;
    let refused = propose(follower, 1).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { leader: Some(nodes[at].member()) });
    assert!(follower.consensus.read_index().await.unwrap_err().is_definite());
    let mut large = entry(1);
    large.commands = vec![large.commands[0].clone(); gantry_consensus::ENTRY_BYTES / 16];
    assert!(matches!(nodes[at].consensus.propose(large).await, Err(ProposeError::TooLarge { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_read_sees_what_was_acknowledged_before_it() {
    let (_dir, nodes) = cluster(&[1, 2, 3]).await;
    let at = leader(&nodes).await;
    for number in 0..20 {
        let rev = propose(&nodes[at], number).await.unwrap().rev;
        let reads: Vec<_> = (0..8).map(|_| nodes[at].consensus.read_index()).collect();
        for read in futures::future::join_all(reads).await {
            assert!(read.unwrap() >= rev);
        }
        assert!(nodes[at].rev() >= rev);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_reach_a_quorum_confirms_nothing() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    let at = leader(&nodes).await;
    propose(&nodes[at], 1).await.unwrap();
    let alone = nodes.swap_remove(at);
    for node in nodes {
        node.stop().await;
    }
    assert!(alone.consensus.read_index().await.is_err());
    let proposal = alone.consensus.propose(entry(2));
    let outcome = tokio::time::timeout(Duration::from_secs(3), proposal).await;
    assert!(!matches!(outcome, Ok(Ok(_))), "acknowledged without a quorum");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on_without_a_dead_leader_and_it_comes_back() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    let mut slowest = Duration::ZERO;
    let mut number = 0;
    for _ in 0..3 {
        for _ in 0..30 {
            place(&nodes, number).await;
            number += 1;
        }
        let at = leader(&nodes).await;
        let dead = nodes.swap_remove(at);
        let killed = Instant::now();
        let dead = dead.stop().await;
        place(&nodes, number).await;
        slowest = slowest.max(killed.elapsed());
        number += 1;
        nodes.push(Node::start(dead).await);
        let rev = place(&nodes, number).await;
        number += 1;
        agree(&nodes, rev).await;
        assert_eq!(nodes[0].hosts() as u64, number);
    }
    println!("slowest failover: {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once_and_back() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    let mut last = 0;
    for number in 0..50 {
        last = place(&nodes, number).await;
    }
    agree(&nodes, last).await;
    let before = nodes[0].hash();
    let mut configs = Vec::new();
    for node in nodes.drain(..) {
        configs.push(node.stop().await);
    }
    for config in configs {
        nodes.push(Node::start(config).await);
    }
    leader(&nodes).await;
    for node in &nodes {
        node.reaches(last).await;
        assert_eq!(node.hash(), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_do_not_hold_up_a_shutdown() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    place(&nodes, 1).await;
    let at = leader(&nodes).await;
    nodes.swap_remove((at + 1) % 3).stop_in_order().await;
    place(&nodes, 2).await;
    let at = leader(&nodes).await;
    nodes.swap_remove(at).stop_in_order().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_says_so() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    let at = leader(&nodes).await;
    let node = nodes.swap_remove(at);
    let consensus = node.consensus.clone();
    node.stop().await;
    let why = tokio::time::timeout(PATIENCE, consensus.stopped()).await.unwrap();
    assert!(!why.is_empty());
    assert!(matches!(consensus.propose(entry(1)).await, Err(ProposeError::Stopped { .. })));
    assert!(matches!(consensus.read_index().await, Err(ProposeError::Stopped { .. })));
}
