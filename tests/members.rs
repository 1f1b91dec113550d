//! Members are added, lead, and leave, by the command line, and every member answers every call.

use crate::{
    failover::Load,
    support::{Fleet, done, gantry, place, run, start},
};
use gantry_bench::cluster::Cluster;
use gantry_client::v1;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_member_joins_leads_and_a_third_leaves() {
    let mut cluster = start().await;
    let fleet = Fleet::register(&cluster, 8).await;
    let before = cluster.client().place(place("before", "app", 1_000)).await.expect("there is room");
    let id = cluster.add_server().await.expect("a fourth server starts");
    let (first, new) = (cluster.addrs()[0].clone(), cluster.addrs()[3].clone());

    let stranger = run(&new, &["place", "--app", "app", "--cpu", "1", "--timeout", "1s"]);
    assert_eq!(stranger.0, Some(6), "a server that is no member cannot place: {stranger:?}");
    done(&new, &["cluster", "join", &first]);
    let members = voters(&first);
    assert_eq!(members, [1, 2, 3, 4]);
    let again = run(&new, &["cluster", "init", "--member", &format!("{id}=127.0.0.1:1,{new}")]);
    assert_ne!(again.0, Some(0), "a member makes no cluster of its own: {again:?}");

    done(&first, &["cluster", "transfer", "--to", "4"]);
    assert_eq!(cluster.leader().await.expect("there is a leader"), id);
    // Over every member, through the new leader: reads see what was acknowledged before, placements get their own host.
    for (at, addr) in cluster.addrs().into_iter().enumerate() {
        let row = done(&addr, &["get", &before.reservations[0].id.to_string()]);
        assert!(row.to_string().contains(&before.reservations[0].host), "{row}");
        let placed =
            done(&addr, &["place", "--app", "app", "--cpu", "1", "--gpu", "1", "--request-id", &format!("m{at}")]);
        assert_eq!(placed["placed"], 1, "{placed}");
    }

    let removed = [1, 2, 3].into_iter().find(|&id| id != 1).expect("there are three");
    done(&first, &["cluster", "remove", &removed.to_string()]);
    assert_eq!(voters(&first), [1, 3, 4]);
    cluster.kill(removed).expect("a running node can be killed");
    let listed = cluster.client().list(v1::ListRequest { page_size: 100, ..Default::default() }).await;
    assert_eq!(listed.expect("three members answer").reservations.len(), 5);
    assert_eq!(fleet.hosts.len(), 8);
    same_state(&cluster, &[1, 3, 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_become_five_a_dead_one_is_replaced_and_five_become_three_under_load() {
    let mut cluster = start().await;
    let fleet = Fleet::register(&cluster, 144).await;
    let load = Load::start(&cluster.addrs());
    load.goes_on().await;
    for _ in 0..2 {
        let id = cluster.join_server(None).await.expect("a new machine joins by a token");
        assert!(id > 3, "an id that nobody had: {id}");
        load.goes_on().await;
    }
    let addr = cluster.addrs()[4].clone();
    assert_eq!(voters(&addr), cluster.ids());
    // Of the nodes that the callers were given none will be left.
    load.learn_members().await;

    let leader = cluster.leader().await.expect("five have a leader");
    let dead = (1..=3).find(|id| *id != leader).expect("there are others");
    cluster.kill(dead).expect("a running node can be killed");
    load.goes_on().await;
    let new = cluster.join_server(Some(dead)).await.expect("a new machine takes a dead one's place");
    cluster.forget(dead).expect("it is known");
    assert!(voters(&addr).contains(&new) && !voters(&addr).contains(&dead), "{:?}", voters(&addr));
    load.goes_on().await;

    // The old ones go, the leader too where it is one of them.
    for old in (1..=3).filter(|id| *id != dead) {
        done(&addr, &["cluster", "remove", &old.to_string()]);
        load.goes_on().await;
        cluster.forget(old).expect("it is known");
        load.goes_on().await;
    }
    assert_eq!(voters(&addr), cluster.ids());
    assert_eq!(cluster.ids().len(), 3);
    load.stop().await.kept(&cluster, &fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_with_a_new_disk_takes_its_own_place() {
    let mut cluster = start().await;
    let fleet = Fleet::register(&cluster, 144).await;
    let load = Load::start(&cluster.addrs());
    load.goes_on().await;
    let leader = cluster.leader().await.expect("there is a leader");
    let lost = (1..=3).find(|id| *id != leader).expect("there are others");
    let addr = cluster.addrs()[lost as usize - 1].clone();
    cluster.kill(lost).expect("a running node can be killed");
    let new = cluster.replace_disk(lost).await.expect("a new server has the lost one's addresses");
    assert!(cluster.addrs().contains(&addr) && new != lost);
    assert_eq!(voters(&addr).len(), 3, "{:?}", voters(&addr));
    assert!(!voters(&addr).contains(&lost), "{:?}", voters(&addr));
    load.goes_on().await;
    load.stop().await.kept(&cluster, &fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_leaves_nobody_without_an_answer() {
    let mut cluster = start().await;
    let fleet = Fleet::register(&cluster, 144).await;
    let load = Load::start(&cluster.addrs());
    load.goes_on().await;
    let leader = cluster.leader().await.expect("there is a leader");
    let mut walk = tokio::process::Command::new(gantry())
        .args(["--addr", &cluster.addrs()[0], "cluster", "rolling-restart"])
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("gantry runs");
    let mut told = BufReader::new(walk.stderr.take().expect("it is piped")).lines();
    let (mut restarted, mut said) = (Vec::new(), Vec::new());
    while let Some(line) = told.next_line().await.expect("lines are text") {
        if let Some(rest) = line.strip_prefix("restart node ") {
            let id = rest.split(' ').next().and_then(|id| id.parse().ok()).expect("a node is named");
            cluster.terminate(id).await.expect("a server that is asked to end does");
            cluster.restart(id).await.expect("it starts again");
            restarted.push(id);
            load.goes_on().await;
        }
        said.push(line);
    }
    let ended = walk.wait().await.expect("it ends");
    assert!(ended.success(), "{said:#?}");
    assert_eq!((restarted.len(), restarted.last()), (3, Some(&leader)), "the leader is last: {said:#?}");
    assert!(said.iter().any(|line| line.contains("has handed over")), "{said:#?}");
    load.goes_on().await;
    load.stop().await.kept(&cluster, &fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_or_with_a_used_id_is_refused_before_anything_changes() {
    let (mut north, mut south) = (start().await, start().await);
    let (first, other) = (north.addrs()[0].clone(), south.addrs()[0].clone());
    let before = done(&first, &["cluster", "status"])["nodes"][0]["status"]["members"].clone();
    // Both are named alike: only the ids of the clusters differ.
    let taken = run(&other, &["cluster", "join", &first]);
    assert!(taken.0 == Some(5) && taken.1.contains("another cluster"), "{taken:?}");
    let new = south.add_server().await.expect("a server that is no member starts");
    let addr = south.addrs()[3].clone();
    let token = done(&first, &["cluster", "token"])["token"].as_str().expect("a token is text").to_owned();
    let refused = run(&addr, &["cluster", "join", &token]);
    assert!(refused.0 == Some(5) && refused.1.contains(&format!("this is node {new}")), "{refused:?}");

    // Node 4 was a member once.
    let id = north.add_server().await.expect("a fourth server starts");
    let fourth = north.addrs()[3].clone();
    done(&fourth, &["cluster", "join", &first]);
    done(&first, &["cluster", "remove", &id.to_string()]);
    north.forget(id).expect("it is known");
    let refused = run(&addr, &["cluster", "join", &first]);
    assert!(refused.0 == Some(5) && refused.1.contains("was used before"), "{refused:?}");
    let new_there = done(&addr, &["cluster", "status"])["nodes"][0]["status"]["cluster_id"].clone();
    assert_eq!(new_there, "", "a refused node is as new as before");
    let after = done(&first, &["cluster", "status"])["nodes"][0]["status"]["members"].clone();
    assert_eq!(ids(&after), ids(&before), "and the cluster has no trace of it");

    let leader = north.leader().await.expect("there is a leader");
    let last = run(&first, &["cluster", "replace", "99", &leader.to_string()]);
    assert!(last.0 == Some(5), "{last:?}");
}

/// Its command line still has the token of its first life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joined_by_a_token_and_lost_its_data_comes_back() {
    let mut cluster = start().await;
    let id = cluster.join_server(None).await.expect("a new machine joins by a token");
    let (addr, data) = (cluster.addr(id).expect("it has one"), cluster.data_of(id).expect("it has a directory"));
    cluster.kill(id).expect("a running node can be killed");
    done(&addr, &["rebuild", data.to_str().expect("temporary paths are text")]);
    cluster.restart(id).await.expect("it begins anew");
    for _ in 0..600 {
        let members = cluster.status(1, false).await.expect("a sound node answers").members;
        if members.iter().any(|member| member.voter && member.client_addr == addr && member.id != id) {
            assert!(members.iter().all(|member| member.id != id), "{members:?}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not come back: {}", cluster.log_of(id).expect("it has a log"));
}

fn ids(members: &Value) -> Vec<u64> {
    let members = members.as_array().expect("members are listed");
    members.iter().map(|member| member["id"].as_u64().expect("an id is a number")).collect()
}

/// Equal hashes at an equal rev, as the members tell them.
async fn same_state(cluster: &Cluster, ids: &[u64]) {
    for _ in 0..200 {
        let mut seen = Vec::new();
        for &id in ids {
            let status = cluster.status(id, true).await.expect("a member tells its status");
            seen.push((status.applied, status.state_hash));
        }
        if seen.windows(2).all(|two| two[0].0 == two[1].0) {
            assert!(seen.windows(2).all(|two| two[0].1 == two[1].1), "states differ: {seen:?}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the members do not come to rest");
}

fn voters(addr: &str) -> Vec<u64> {
    let status = done(addr, &["cluster", "status"]);
    let members = status["nodes"][0]["status"]["members"].as_array().expect("members are listed").clone();
    let voters = members.iter().filter(|member| member["voter"] == true);
    voters.map(|member| member["id"].as_u64().expect("an id is a number")).collect()
}
