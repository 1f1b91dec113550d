//! Replicas whose states are compared: one that differs stops, and its data stays as evidence.

use std::time::Duration;

use gantry_consensus::{CheckRules, Config, Consensus, OpenError, StartError};
use gantry_store::{Commands, LogEntry, Payload, Store, StoreConfig};

use crate::node::{Node, PATIENCE, agree, cluster, entry, leader, place};

/// Changes the state of a stopped node as a bug would: without anybody else doing the same.
fn diverge(config: &Config) {
    let store_config =
        StoreConfig { data_dir: config.data_dir.clone(), cluster: config.cluster.clone(), node: config.node_id };
    let mut store = loop {
        match Store::open(&store_config) {
            Ok(store) => break store,
            // Its last tasks may still hold it.
            Err(OpenError::Locked { .. }) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    };
    let pos = store.machine.state().read().applied.unwrap();
    let ghost = LogEntry { pos, payload: Payload::Commands(Commands::from(entry(999_999))) };
    store.machine.apply(&[ghost]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_replicas_verify_under_load() {
    let (_dir, nodes) = cluster(&[1, 2, 3]).await;
    for number in 0..20 {
        place(&nodes, number).await;
    }
    let at = leader(&nodes).await;
    let verifying = tokio::spawn({
        let consensus = nodes[at].consensus.clone();
        async move { consensus.verify().await }
    });
    for number in 20..60 {
        place(&nodes, number).await;
    }
    let verified = tokio::time::timeout(PATIENCE, verifying).await.unwrap().unwrap().unwrap();
    assert!(verified.agreed.is_some(), "{verified:?}");
    assert_eq!(verified.members.len(), 3);
    assert!(verified.members.iter().all(|member| member.hash.as_ref().ok() == verified.agreed.as_ref()));
    let follower = (at + 1) % 3;
    assert!(nodes[follower].consensus.verify().await.is_err(), "only the leader compares");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_differs_stops_and_is_not_opened_again() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    for number in 0..20 {
        place(&nodes, number).await;
    }
    let at = leader(&nodes).await;
    let away = nodes.swap_remove((at + 1) % 3).stop().await;
    diverge(&away);
    nodes.push(Node::start(away).await);
    let rev = place(&nodes, 20).await;
    nodes[2].reaches(rev).await;
    let at = leader(&nodes).await;
    assert_ne!(at, 2, "a leader with two healthy followers does not lose them to a newcomer");
    let verified = nodes[at].consensus.verify().await.unwrap();
    assert_eq!(verified.diverged().map(|member| member.id).collect::<Vec<_>>(), [nodes[2].id()]);
    let why = tokio::time::timeout(PATIENCE, nodes[2].consensus.stopped()).await.unwrap();
    assert!(why.contains("diverged"), "{why}");
    let config = nodes.pop().unwrap().stop().await;
    let refused = loop {
        match Consensus::start(config.clone()).await {
            Err(StartError::Open(OpenError::Locked { .. })) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other,
        }
    };
    assert!(matches!(refused, Err(StartError::Open(OpenError::Diverged { .. }))), "{refused:?}");
    let rev = place(&nodes, 21).await;
    agree(&nodes, rev).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_compares_on_a_schedule() {
    let (_dir, nodes) = cluster(&[1, 2, 3]).await;
    let rev = place(&nodes, 0).await;
    agree(&nodes, rev).await;
    let checks = CheckRules { verify_every: Duration::from_millis(100), ..CheckRules::default() };
    let mut often = Vec::new();
    let mut diverged = None;
    for node in nodes {
        let config = node.stop().await;
        if config.node_id == 3 {
            diverge(&config);
            diverged = Some(often.len());
        }
        often.push(Node::start(Config { checks, ..config }).await);
    }
    place(&often, 1).await;
    let diverged = &often[diverged.unwrap()];
    let why = tokio::time::timeout(PATIENCE, diverged.consensus.stopped()).await.unwrap();
    assert!(why.contains("diverged"), "{why}");
}

/// Flips a byte in every table file, which a start makes of what was in the write-ahead log.
fn damage_tables(config: &Config) {
    let tables: Vec<_> = std::fs::read_dir(config.data_dir.join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .collect();
    assert!(!tables.is_empty(), "there is nothing to damage");
    for path in tables {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 0x41;
        // In place: the running node has the file open.
        std::os::unix::fs::FileExt::write_all_at(
            &std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
            &bytes,
            0,
        )
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_data_is_damaged_while_it_runs_stops() {
    let (_dir, mut nodes) = cluster(&[1, 2, 3]).await;
    for number in 0..20 {
        place(&nodes, number).await;
    }
    let checks = CheckRules { scrub_every: Duration::from_millis(200), ..CheckRules::default() };
    let at = leader(&nodes).await;
    let config = nodes.swap_remove((at + 1) % 3).stop().await;
    nodes.push(Node::start(Config { checks, ..config }).await);
    let rev = place(&nodes, 20).await;
    agree(&nodes, rev).await;
    damage_tables(&nodes[2].config);
    let why = tokio::time::timeout(PATIENCE, nodes[2].consensus.stopped()).await.unwrap();
    assert!(why.contains("damaged data was found"), "{why}");
    let config = nodes.pop().unwrap().stop().await;
    let refused = loop {
        match Consensus::start(config.clone()).await {
            Err(StartError::Open(OpenError::Locked { .. })) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other,
        }
    };
    assert!(matches!(&refused, Err(StartError::Open(lost)) if lost.is_lost_data()), "{refused:?}");
    place(&nodes, 21).await;
}
