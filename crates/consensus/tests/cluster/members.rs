//! Forming a cluster, and changing who is in it.

use std::time::{Duration, Instant};

use gantry_consensus::{Member, MembershipError, Standing};

use crate::node::{Node, PATIENCE, agree, cluster, config, leader, place};

fn refused(result: Result<(), MembershipError>) -> String {
    match result {
        Err(MembershipError::Refused { why }) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_added_promoted_and_removed() {
    let (dir, mut nodes) = cluster(&[1, 2, 3]).await;
    for number in 0..20 {
        place(&nodes, number).await;
    }
    nodes.push(Node::start(config(4, dir.path()).await).await);
    let fourth = nodes[3].member();
    let at = leader(&nodes).await;
    let led = &nodes[at].consensus;
    led.add_learner(fourth.clone()).await.unwrap();
    led.add_learner(fourth.clone()).await.unwrap();
    led.promote(4).await.unwrap();
    led.promote(4).await.unwrap();
    let status = led.status();
    assert_eq!(status.members.iter().filter(|member| member.is_voter).count(), 4);
    assert!(
        status.members.iter().all(|member| member.matched.is_some() || member.member.id == status.node_id),
        "{status:?}"
    );
    assert!(!status.is_joint && status.cluster_id != 0);
    let rev = place(&nodes, 20).await;
    agree(&nodes, rev).await;
    assert_eq!(nodes[3].consensus.status().cluster_id, status.cluster_id, "the new node joined this cluster");

    led.remove(4).await.unwrap();
    led.remove(4).await.unwrap();
    assert_eq!(led.status().members.len(), 3);
    let why = refused(led.add_learner(fourth).await);
    assert!(why.contains("node id 4 was used before"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over() {
    let (_dir, nodes) = cluster(&[1, 2, 3]).await;
    for round in 0..3 {
        place(&nodes, round).await;
        let at = leader(&nodes).await;
        let to = nodes[(at + 1) % 3].id();
        nodes[at].consensus.transfer_leader(to).await.unwrap();
        assert_eq!(nodes[at].consensus.status().leader, Some(to));
    }
    let rev = place(&nodes, 9).await;
    agree(&nodes, rev).await;
    let at = leader(&nodes).await;
    let follower = &nodes[(at + 1) % 3].consensus;
    assert!(matches!(follower.transfer_leader(nodes[(at + 2) % 3].id()).await, Err(MembershipError::NotLeader { .. })));
    assert!(refused(nodes[at].consensus.transfer_leader(99).await).contains("not a voter"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_removes_itself_steps_down() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    let at = leader(&nodes).await;
    let removed = nodes.swap_remove(at);
    removed.consensus.remove(removed.id()).await.unwrap();
    let rev = place(&nodes, 1).await;
    agree(&nodes, rev).await;
    let start = Instant::now();
    while removed.consensus.status().standing == Standing::Leader {
        assert!(start.elapsed() < PATIENCE, "{:?}", removed.consensus.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_safe_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(1, dir.path()).await).await;
    let consensus = &node.consensus;
    let other = Member { id: 2, raft_addr: "127.0.0.1:1".to_owned(), client_addr: "127.0.0.1:2".to_owned() };
    assert!(refused(consensus.init(vec![other.clone()]).await).contains("node 1 is not among"));
    assert!(refused(consensus.init(vec![]).await).contains("node 1 is not among"));
    assert!(refused(consensus.init(vec![node.member(), node.member()]).await).contains("two members"));
    let elsewhere = Member { raft_addr: "127.0.0.1:3".to_owned(), ..node.member() };
    assert!(refused(consensus.init(vec![elsewhere]).await).contains("not as given"));
    let nowhere = Member { raft_addr: "nowhere".to_owned(), ..other.clone() };
    assert!(refused(consensus.init(vec![node.member(), nowhere]).await).contains("not host:port"));
    assert_eq!(consensus.status().cluster_id, 0, "a refused init leaves no trace");

    consensus.init(vec![node.member()]).await.unwrap();
    assert_eq!(consensus.init(vec![node.member()]).await, Err(MembershipError::AlreadyFormed));
    place(std::slice::from_ref(&node), 1).await;
    assert!(refused(consensus.remove(1).await).contains("last voter"));
    assert!(refused(consensus.promote(7).await).contains("not a member"));
    consensus.add_learner(other.clone()).await.unwrap();
    let moved = Member { raft_addr: "127.0.0.1:9".to_owned(), ..other.clone() };
    assert!(refused(consensus.add_learner(moved).await).contains("new id"));
    let same_address = Member { id: 3, ..other };
    assert!(refused(consensus.add_learner(same_address).await).contains("address of node 2"));
}
