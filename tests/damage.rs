//! Damaged data on running clusters: on one node nothing is lost and it repairs itself; on a majority each refuses by name and
//! touches nothing. A replica that has diverged stops, and one command lets it come back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::{Fleet, gantry, place, start};
use gantry_bench::cluster::Cluster;
use gantry_client::v1;
use serde_json::Value;

const VICTIM: u64 = 2;

fn files(data: &Path, kind: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir(data.join("db")).expect("the node has a database");
    let paths = listed.map(|entry| entry.expect("it can be listed").path());
    let is_kind = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.starts_with(kind) || name.ends_with(kind)) && fs::metadata(path).is_ok_and(|file| file.len() > 0)
    };
    paths.filter(is_kind).collect()
}

/// Flips bits in the first half of every file of a kind.
fn flip(data: &Path, kind: &str) {
    let found = files(data, kind);
    assert!(!found.is_empty(), "there is no {kind} in {}", data.display());
    for path in found {
        let mut bytes = fs::read(&path).expect("it can be read");
        let at = bytes.len() / 3;
        bytes[at] ^= 0x41;
        fs::write(&path, bytes).expect("it can be written");
    }
}

async fn voters(cluster: &Cluster) -> Vec<v1::Member> {
    let leader = cluster.leader().await.expect("there is a leader");
    let members = cluster.status(leader, false).await.expect("the leader tells its status").members;
    members.into_iter().filter(|member| member.voter).collect()
}

/// Waits until the server at `addr` is one of three voters, and gives its id.
async fn back(cluster: &Cluster, addr: &str, was: u64) -> u64 {
    for _ in 0..600 {
        // As a sound node sees it.
        let status = cluster.status(1, false).await.expect("a sound node answers");
        let voters: Vec<_> = status.members.iter().filter(|member| member.voter).collect();
        if let Some(member) = voters.iter().find(|member| member.client_addr == addr && member.id != was)
            && voters.len() == 3
        {
            return member.id;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the node did not come back: {}", cluster.log_of(VICTIM).expect("it has a log"));
}

async fn held(cluster: &Cluster) -> Vec<(u64, String)> {
    let listed = cluster.client().list(v1::ListRequest { page_size: 1_000, ..Default::default() }).await;
    let mut held: Vec<_> = listed.expect("a leader answers").reservations.into_iter().map(|r| (r.id, r.host)).collect();
    held.sort();
    held
}

async fn place_one(cluster: &Cluster, request: &str) -> (u64, String) {
    let placed = cluster.client().place(place(request, "app", 1_000)).await.expect("there is room");
    (placed.reservations[0].id, placed.reservations[0].host.clone())
}

fn run(addr: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(gantry()).args(["--json", "--addr", addr]).args(arguments).output().expect("gantry runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or("null").to_owned();
    (output.status.code(), serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line} is no JSON: {error}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_any_kind_on_one_node_loses_nothing_and_repairs_itself() {
    let mut cluster = start().await;
    let _fleet = Fleet::register(&cluster, 8).await;
    let mut acknowledged = Vec::new();
    let addr = cluster.addrs()[VICTIM as usize - 1].clone();
    let data = cluster.data_of(VICTIM).expect("it has a directory");
    let mut id = VICTIM;
    for (round, kind) in [".log", ".sst", "MANIFEST", "CURRENT"].into_iter().enumerate() {
        for number in 0..5 {
            acknowledged.push(place_one(&cluster, &format!("{kind}-{number}")).await);
        }
        cluster.kill(VICTIM).expect("a running node can be killed");
        if kind == ".sst" {
            // A start moves what is in the write-ahead log into table files.
            cluster.restart(VICTIM).await.expect("a sound node starts");
            cluster.kill(VICTIM).expect("a running node can be killed");
        }
        flip(&data, kind);
        acknowledged.push(place_one(&cluster, &format!("{kind}-down")).await);
        cluster.restart(VICTIM).await.expect("a damaged node begins anew");
        let next = back(&cluster, &addr, id).await;
        assert!(next > id, "round {round}: an id was used again");
        id = next;
        assert!(data.join("set-aside").join("db").is_dir(), "the evidence is gone");
        acknowledged.sort();
        assert_eq!(held(&cluster).await, acknowledged, "round {round}: something acknowledged is lost");
    }
    let log = fs::read_to_string(data.with_file_name("server.log")).expect("the server writes a log");
    assert_eq!(log.matches("this node has lost data").count(), 4, "it did not announce itself: {log}");
    let (code, verified) = run(&cluster.addrs()[0], &["cluster", "verify"]);
    assert_eq!(code, Some(0), "{verified}");

    // Under its new id it is a member like any other: also after a restart, with the config of its first life.
    cluster.kill(VICTIM).expect("a running node can be killed");
    cluster.restart(VICTIM).await.expect("it starts as who it is now");
    acknowledged.push(place_one(&cluster, "last").await);
    let voters = voters(&cluster).await;
    assert!(voters.len() == 3 && voters.iter().any(|member| member.id == id), "{voters:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_on_a_majority_is_refused_by_name_and_nothing_is_touched() {
    let mut cluster = start().await;
    let _fleet = Fleet::register(&cluster, 2).await;
    place_one(&cluster, "one").await;
    for id in [2, 3] {
        cluster.kill(id).expect("a running node can be killed");
        flip(&cluster.data_of(id).expect("it has a directory"), ".log");
    }
    for id in [2, 3] {
        let identity = cluster.data_of(id).expect("it has a directory").join("identity");
        let before = fs::read(&identity).expect("it has an identity");
        cluster.restart(id).await.expect_err("a node came back though the others are no quorum");
        assert!(cluster.log_of(id).expect("it has a log").contains("QuorumLost"), "{:?}", cluster.log_of(id));
        assert_eq!(fs::read(&identity).expect("it has an identity"), before);
        assert!(!identity.with_file_name("set-aside").exists(), "its data was moved");
    }
    let refused = run(&cluster.addrs()[0], &["--timeout", "2s", "place", "--app", "app", "--cpu", "1"]);
    assert_ne!(refused.0, Some(0), "one of three decided alone: {}", refused.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_rebuilt_by_one_command() {
    let mut cluster = start().await;
    let _fleet = Fleet::register(&cluster, 4).await;
    let placed = place_one(&cluster, "one").await;
    let data = cluster.data_of(VICTIM).expect("it has a directory");
    let dir = data.to_str().expect("temporary paths are text").to_owned();
    let addr = cluster.addrs()[VICTIM as usize - 1].clone();
    assert_eq!(run(&addr, &["rebuild", &dir]).0, Some(2), "the data of a running node is not given up");
    cluster.kill(VICTIM).expect("a running node can be killed");
    // As a comparison leaves a replica that differs.
    fs::write(data.join("diverged"), "at rev 9 its state has another hash\n").expect("it can be written");
    cluster.restart(VICTIM).await.expect_err("a replica that has diverged serves");
    assert!(cluster.log_of(VICTIM).expect("it has a log").contains("gantry rebuild"), "{:?}", cluster.log_of(VICTIM));
    let (code, told) = run(&addr, &["rebuild", &dir]);
    assert_eq!(code, Some(0), "{told}");
    // The server ended by itself.
    cluster.kill(VICTIM).expect("its handle is still there");
    cluster.restart(VICTIM).await.expect("it begins anew");
    back(&cluster, &addr, VICTIM).await;
    assert_eq!(held(&cluster).await, [placed]);
    assert!(data.join("set-aside").join("diverged").is_file(), "the evidence is gone");
    assert_eq!(run(&cluster.addrs()[0], &["cluster", "verify"]).0, Some(0));
}
