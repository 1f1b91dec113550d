//! Who may become a member, and what may not be done to those that are: each is refused with its reason, before anything is
//! changed.

use std::{fs, process::Command, time::Duration};

use crate::{
    pretender::Pretender,
    support::{Fleet, done, gantry, place, run, start},
};
use gantry_bench::cluster::Cluster;
use gantry_client::v1::{self, StatusResponse};
use serde_json::Value;

const REFUSED: Option<i32> = Some(5);
const BUSY: Option<i32> = Some(7);

fn refused(addr: &str, arguments: &[&str], why: &str) {
    let (code, line) = run(addr, arguments);
    assert_eq!(code, REFUSED, "gantry {}: {line}", arguments.join(" "));
    assert!(line.contains(why), "gantry {} should name {why:?}: {line}", arguments.join(" "));
}

fn members(addr: &str) -> Value {
    done(addr, &["cluster", "status"])["nodes"][0]["status"]["members"].clone()
}

/// What a pretender says, and what the other side makes of it.
type Said = (fn(&mut StatusResponse), &'static str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_fit_is_refused_by_the_cluster_with_the_reason() {
    let mut cluster = start().await;
    let id = cluster.add_server().await.expect("a fourth server starts");
    let (first, fourth) = (cluster.addrs()[0].clone(), cluster.members()[3].clone());
    let door = Pretender::before(&fourth.client_addr).await;
    let member = format!("{id}={},{}", fourth.raft_addr, door.addr);
    let before = members(&first);
    let cases: [Said; 7] = [
        (|node| node.clock_unix_ms += 3_650_000, "differs by 36"),
        (|node| node.clock_unix_ms -= 10_000, "5000 ms are allowed"),
        (|node| node.feature_level_max = 1, "which knows feature level 1, and the cluster is at 2: upgrade it"),
        (|node| node.node_id = 77, "is node 77, not node 4"),
        (|node| node.cluster = "south".to_owned(), "is for cluster \\\"south\\\""),
        (|node| node.cluster_id = format!("{:016x}", 0xbad), "belongs to another cluster"),
        (|node| node.last_log = 12, "has a log already: give it an empty directory"),
    ];
    for (lie, why) in cases {
        door.says(lie);
        refused(&first, &["cluster", "add-learner", &member], why);
    }
    door.is_gone();
    refused(&first, &["cluster", "add-learner", &member], "cannot be reached");
    assert_eq!(members(&first), before, "the cluster has no trace of it");
    done(&fourth.client_addr, &["cluster", "join", &first]);
    assert_eq!(members(&first).as_array().map(Vec::len), Some(4), "as it is it is welcome");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_does_not_fit_is_refused_by_the_node_with_the_reason() {
    let mut cluster = start().await;
    cluster.add_server().await.expect("a fourth server starts");
    let (first, fourth) = (cluster.addrs()[0].clone(), cluster.addrs()[3].clone());
    let door = Pretender::before(&first).await;
    let before = members(&first);
    let cases: [Said; 4] = [
        (|node| node.clock_unix_ms -= 3_650_000, "differs by -36"),
        (|node| node.feature_level = 99, "the cluster is at feature level 99, and this version knows"),
        (|node| node.cluster = "south".to_owned(), "that is cluster \\\"south\\\""),
        (|node| node.cluster_id.clear(), "is part of no cluster yet"),
    ];
    for (lie, why) in cases {
        door.says(lie);
        refused(&fourth, &["cluster", "join", &door.addr], why);
    }
    assert_eq!(members(&first), before, "the cluster has no trace of it");
    let alone = done(&fourth, &["cluster", "status"])["nodes"][0]["status"]["cluster_id"].clone();
    assert_eq!(alone, "", "and the node is as new as before");
}

/// A rolling upgrade: the cluster begins at what all know, and is raised when all know more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feature_level_waits_for_the_member_that_does_not_know_it() {
    let mut cluster =
        Cluster::prepare(gantry(), std::path::Path::new(env!("CARGO_TARGET_TMPDIR")), 3).expect("servers");
    let (first, third) = (cluster.addrs()[0].clone(), cluster.addrs()[2].clone());
    let door = Pretender::before(&third).await;
    door.says(|node| node.feature_level_max = 1);
    let config = cluster.data_of(3).expect("it was prepared").with_file_name("gantry.toml");
    let text = fs::read_to_string(&config).expect("it has a config");
    let addr = format!("client_addr = {third:?}");
    assert!(text.contains(&addr), "{text}");
    let text = text.replace(&addr, &format!("client_addr = {:?}\nclient_listen = {third:?}", door.addr));
    fs::write(&config, text).expect("it can be written");
    for id in 1..=3 {
        cluster.restart(id).await.expect("it starts");
    }
    let given = cluster.members().into_iter().map(|member| {
        let client_addr = if member.id == 3 { door.addr.clone() } else { member.client_addr };
        format!("--member={}={},{client_addr}", member.id, member.raft_addr)
    });
    let given: Vec<String> = given.collect();
    let init: Vec<&str> = ["cluster", "init"].into_iter().chain(given.iter().map(String::as_str)).collect();
    done(&first, &init);
    // Behind the door there is no more than one service, so it must not lead.
    if cluster.leader().await.expect("there is a leader") == 3 {
        done(&first, &["cluster", "transfer", "--to", "1"]);
    }
    let level = || done(&first, &["cluster", "status"])["nodes"][0]["status"]["feature_level"].clone();
    assert_eq!(level(), 1, "the cluster begins with what all know");
    refused(&first, &["cluster", "feature-level", "2"], "node 3 runs version");
    refused(&first, &["cluster", "feature-level", "2"], "which knows 1");
    let (code, line) = run(&first, &["cluster", "feature-level", "99"]);
    assert!(code == Some(2) && line.contains("level"), "nobody knows it: {line}");
    assert_eq!(level(), 1);
    door.says(|_| {});
    done(&first, &["cluster", "feature-level", "2"]);
    assert_eq!(level(), 2);
    refused(&first, &["cluster", "feature-level", "1"], "2");
    door.is_gone();
    done(&first, &["cluster", "feature-level", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_is_needed_is_not_taken_away() {
    let mut cluster = start().await;
    let leader = cluster.leader().await.expect("there is a leader");
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let addr = cluster.addr(leader).expect("it has one");
    cluster.kill(others[0]).expect("a running node can be killed");
    // Two of three live. Without one of them too few would be left to decide anything.
    for needed in [leader, others[1]] {
        refused(&addr, &["cluster", "remove", &needed.to_string()], &format!("silent: {}", others[0]));
    }
    done(&addr, &["cluster", "remove", &others[0].to_string()]);
    done(&addr, &["cluster", "remove", &others[1].to_string()]);
    refused(&addr, &["cluster", "remove", &leader.to_string()], "is the last voter: add another one first");
    assert_eq!(members(&addr).as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_during_another_change_is_refused() {
    let mut cluster = start().await;
    let id = cluster.add_server().await.expect("a fourth server starts");
    let leader = cluster.leader().await.expect("there is a leader");
    let addr = cluster.addr(leader).expect("it has one");
    let other = (1..=3).find(|id| *id != leader).expect("there are others");
    done(&cluster.addr(id).expect("it has one"), &["cluster", "join", &addr]);
    // A member that hangs makes a removal ask for seconds whether the others can do without.
    let hung = (1..=3).find(|id| ![leader, other].contains(id)).expect("there are three");
    let signal = |signal: &str| {
        let pid = cluster.pid(hung).expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    };
    signal("-STOP");
    let removing = {
        let (addr, other) = (addr.clone(), other.to_string());
        tokio::task::spawn_blocking(move || run(&addr, &["--timeout", "20s", "cluster", "remove", &other]))
    };
    let mut told = None;
    for _ in 0..100 {
        let (code, line) = run(&addr, &["--timeout", "100ms", "cluster", "remove", "99"]);
        if code == BUSY {
            told = Some(line);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    signal("-CONT");
    let told = told.expect("no removal met the other one");
    assert!(told.contains("another change of the members is under way"), "{told}");
    let (code, line) = removing.await.expect("it ends");
    assert_eq!(code, Some(0), "the first one is done: {line}");
}

/// As where a disk is not mounted: it must not help anybody to lead who lacks what it had acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_whose_directory_is_empty_takes_no_part() {
    let mut cluster = start().await;
    let _fleet = Fleet::register(&cluster, 20).await;
    cluster.settled().await.expect("the members come to one rev");
    let leader = cluster.leader().await.expect("there is a leader");
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let (emptied, behind) = (others[0], others[1]);
    let addr = |id| cluster.addr(id).expect("it has one");
    let (leads, forgets, lags) = (addr(leader), addr(emptied), addr(behind));
    let pid = cluster.pid(behind).expect("it runs").to_string();
    let signal =
        |signal: &str| assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    signal("-STOP");
    let mut placed = Vec::new();
    for number in 0..5 {
        let answer = cluster.client().place(place(&format!("acknowledged-{number}"), "app", 1_000)).await;
        placed.extend(answer.expect("two of three decide").reservations);
    }
    cluster.kill(emptied).expect("a running node can be killed");
    cluster.kill(leader).expect("a running node can be killed");
    let data = cluster.data_of(emptied).expect("it has a directory");
    fs::remove_dir_all(&data).expect("it can be removed");
    fs::create_dir(&data).expect("it can be made");
    cluster.restart(emptied).await.expect("it answers");
    signal("-CONT");
    for _ in 0..200 {
        if cluster.log_of(emptied).expect("it has a log").contains("its directory is empty") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        cluster.log_of(emptied).expect("it has a log").contains("its directory is empty"),
        "nobody asked for its vote"
    );
    let alone = run(&lags, &["--timeout", "2s", "place", "--app", "app", "--cpu", "1"]);
    assert_ne!(alone.0, Some(0), "it was helped to lead: {}", alone.1);
    let joined = done(&forgets, &["cluster", "status"])["nodes"][0]["status"]["cluster_id"].clone();
    assert_eq!(joined, "", "it is part of nothing");

    cluster.restart(leader).await.expect("it starts again");
    cluster.leader().await.expect("two of three elect one");
    let listed = cluster.client().list(v1::ListRequest { page_size: 100, ..Default::default() }).await;
    let held =
        |rows: Vec<v1::Reservation>| rows.into_iter().map(|row| (row.id, row.host, row.fence)).collect::<Vec<_>>();
    assert_eq!(held(listed.expect("a leader answers").reservations), held(placed), "something acknowledged is lost");
    refused(&forgets, &["cluster", "join", &leads], "has a vote in that cluster, and this directory is empty");
    done(&leads, &["cluster", "remove", &emptied.to_string()]);
    refused(&forgets, &["cluster", "join", &leads], "was used before");
}

#[test]
fn a_directory_that_is_not_a_new_nodes_own_is_refused() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made");
    let data = dir.path().join("data");
    let ports = gantry_bench::cluster::free_ports(2).expect("free ports");
    let addrs = format!("client_addr = \"127.0.0.1:{}\"\nraft_addr = \"127.0.0.1:{}\"\n", ports[0], ports[1]);
    let config = format!("cluster = \"c\"\ndata_dir = {:?}\n{addrs}", data.display().to_string());
    let numbered = format!("node_id = 1\n{config}");
    let identity = |text: &'static str| move |data: &std::path::Path| fs::write(data.join("identity"), text);
    type Fill = Box<dyn Fn(&std::path::Path) -> std::io::Result<()>>;
    let cases: [(&str, Fill, &str); 5] = [
        (&numbered, Box::new(|data| fs::write(data.join("notes.txt"), "mine")), "a new node needs an empty one"),
        (&numbered, Box::new(|data| fs::create_dir(data.join("db"))), "no identity file"),
        (&numbered, Box::new(identity("format = 2\n")), "start the newer version of gantry"),
        (&numbered, Box::new(identity("format = 0\n")), "which no version of gantry wrote"),
        // As after the bootstrap, when the disk is not mounted.
        (&config, Box::new(|_| Ok(())), "node_id is missing"),
    ];
    for (text, fill, why) in cases {
        fs::create_dir(&data).expect("it can be made");
        fill(&data).expect("it can be filled");
        let held = fs::read_dir(&data).expect("it can be listed").count();
        let file = dir.path().join("server.toml");
        fs::write(&file, text).expect("it can be written");
        let output = Command::new(gantry()).args(["server", "--config"]).arg(&file).output().expect("gantry runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error")).collect();
        assert!(!output.status.success() && errors.len() == 1 && errors[0].contains(why), "{why}: {said}");
        // A lock may have been taken; nothing else is there that was not before.
        let left = fs::read_dir(&data)
            .expect("it can be listed")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        assert_eq!(left.filter(|name| name != "lock").count(), held, "{why}: the directory was changed");
        fs::remove_dir_all(&data).expect("it can be removed");
    }
}
