//! Forming a cluster, and changing who is in it.

use std::time::{Duration, Instant};

use gantry_consensus::{Member, MembershipError, Standing};

use crate::node::{Node, PATIENCE, agree, cluster, config, leader, place};

fn refused<T: std::fmt::Debug>(result: Result<T, MembershipError>) -> String {
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
        assert_eq!(nodes[at].consensus.hand_over(Some(to)).await, Ok(to));
        assert_eq!(nodes[at].consensus.status().leader, Some(to));
    }
    let rev = place(&nodes, 9).await;
    agree(&nodes, rev).await;
    let at = leader(&nodes).await;
    let follower = &nodes[(at + 1) % 3].consensus;
    let other = nodes[(at + 2) % 3].id();
    assert!(matches!(follower.hand_over(Some(other)).await, Err(MembershipError::NotLeader { .. })));
    assert!(refused(nodes[at].consensus.hand_over(Some(99)).await).contains("not a voter"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_to_a_voter_that_has_just_come_back() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    let at = leader(&nodes).await;
    let back = nodes.swap_remove((at + 1) % 3);
    let id = back.id();
    let config = back.stop().await;
    tokio::time::sleep(2 * Duration::from_millis(config.timing.election_max_ms)).await;
    let back = Node::start(config).await;
    let at = leader(&nodes).await;
    assert_eq!(nodes[at].consensus.hand_over(Some(id)).await, Ok(id));
    nodes.push(back);
    let rev = place(&nodes, 1).await;
    agree(&nodes, rev).await;
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
    // Nobody is there: it is refused before anything is changed.
    assert!(refused(consensus.add_learner(other).await).contains("cannot be reached"));
    let second = Node::start(config(2, dir.path()).await).await;
    let stranger = Member { id: 3, ..second.member() };
    assert!(refused(consensus.add_learner(stranger).await).contains("this is node 2, not node 3"));
    assert_eq!(consensus.status().members.len(), 1, "what was refused is not in the log");
    assert_eq!(second.consensus.status().cluster_id, 0, "and the node that was asked is still new");
    consensus.add_learner(second.member()).await.unwrap();
    let elsewhere = Member { raft_addr: "127.0.0.1:9".to_owned(), ..second.member() };
    assert!(refused(consensus.add_learner(elsewhere.clone()).await).contains("another id"));
    assert!(refused(consensus.move_member(elsewhere).await).contains("cannot be reached"));
    let same_address = Member { id: 3, ..second.member() };
    assert!(refused(consensus.add_learner(same_address).await).contains("address of node 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_not_taken_in_even_if_that_has_the_same_name() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (config(1, dir.path()).await, config(2, dir.path()).await);
    let (here, there) = (Node::start(here).await, Node::start(there).await);
    for node in [&here, &there] {
        node.consensus.init(vec![node.member()]).await.unwrap();
        leader(std::slice::from_ref(node)).await;
    }
    let why = refused(here.consensus.add_learner(there.member()).await);
    assert!(why.contains("another cluster"), "{why}");
    assert_eq!(here.consensus.status().members.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_without_which_too_few_would_answer_is_not_removed() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    place(&nodes, 1).await;
    let at = leader(&nodes).await;
    let dead = nodes.swap_remove((at + 1) % 3);
    let (dead_id, dead) = (dead.id(), dead.stop().await);
    let at = leader(&nodes).await;
    let other = nodes[1 - at].id();
    let why = refused(nodes[at].consensus.remove(other).await);
    assert!(why.contains(&format!("silent: {dead_id}")), "{why}");
    nodes[at].consensus.remove(dead_id).await.unwrap();
    let rev = place(&nodes, 2).await;
    agree(&nodes, rev).await;
    drop(dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_voter_is_replaced_in_one_change() {
    let (dir, mut nodes) = cluster(&[1, 2, 3]).await;
    for number in 0..20 {
        place(&nodes, number).await;
    }
    let at = leader(&nodes).await;
    let dead = nodes.swap_remove((at + 1) % 3);
    let dead_id = dead.id();
    drop(dead.stop().await);
    let at = leader(&nodes).await;
    let led = nodes[at].consensus.clone();
    let id = led.new_id().await.unwrap();
    assert!(id > 1_000, "small ids are left to operators: {id}");
    let new = Node::start(config(id, dir.path()).await).await;
    assert!(refused(led.replace(dead_id, id).await).contains("not a member"));
    led.add_learner(new.member()).await.unwrap();
    assert!(refused(led.replace(99, id).await).contains("node 99 is not a voter"));
    led.replace(dead_id, id).await.unwrap();
    led.replace(dead_id, id).await.unwrap();
    nodes.push(new);
    let members: Vec<_> = led.status().members.iter().map(|member| (member.member.id, member.is_voter)).collect();
    let mut wanted: Vec<_> = nodes.iter().map(|node| (node.id(), true)).collect();
    wanted.sort_unstable();
    assert_eq!(members, wanted);
    let rev = place(&nodes, 20).await;
    agree(&nodes, rev).await;
    let back = Member { id: dead_id, raft_addr: "127.0.0.1:1".to_owned(), client_addr: "127.0.0.1:2".to_owned() };
    assert!(refused(led.add_learner(back).await).contains("was used before"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_moves_to_another_address() {
    let (dir, mut nodes) = cluster(&[1, 2, 3]).await;
    place(&nodes, 1).await;
    let at = leader(&nodes).await;
    let moving = nodes.swap_remove((at + 1) % 3);
    let id = moving.id();
    let old = moving.stop().await;
    let new = config(id, dir.path()).await;
    assert_ne!(new.raft_addr, old.raft_addr);
    let moved = Node::start(new).await;
    let at = leader(&nodes).await;
    nodes[at].consensus.move_member(moved.member()).await.unwrap();
    nodes.push(moved);
    let rev = place(&nodes, 2).await;
    agree(&nodes, rev).await;
    // Also those who dial it anew find it.
    assert_eq!(nodes[at].consensus.hand_over(Some(id)).await, Ok(id));
    let rev = place(&nodes, 3).await;
    agree(&nodes, rev).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_still_starting_where_it_moved_to_is_waited_for() {
    let (dir, mut nodes) = cluster(&[1, 2, 3]).await;
    place(&nodes, 1).await;
    let at = leader(&nodes).await;
    let moving = nodes.swap_remove((at + 1) % 3);
    let id = moving.id();
    moving.stop().await;
    let new = config(id, dir.path()).await;
    let at = leader(&nodes).await;
    let (asked, member) = (nodes[at].consensus.clone(), new.member());
    let moved = tokio::spawn(async move { asked.move_member(member).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!moved.is_finished(), "{:?}", moved.await);
    nodes.push(Node::start(new).await);
    moved.await.unwrap().unwrap();
    let rev = place(&nodes, 2).await;
    agree(&nodes, rev).await;
}
