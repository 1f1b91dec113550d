//! Members are added, lead, and leave, by the command line, and every member answers every call.

use std::process::Command;

use crate::support::{Fleet, gantry, place, start};
use gantry_bench::cluster::Cluster;
use gantry_client::v1;
use serde_json::Value;

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

/// Exit code and last line.
fn run(addr: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(gantry()).args(["--json", "--addr", addr]).args(arguments).output().expect("gantry runs");
    let text = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), text.lines().last().unwrap_or_default().to_owned())
}

fn done(addr: &str, arguments: &[&str]) -> Value {
    let (code, line) = run(addr, arguments);
    assert_eq!(code, Some(0), "gantry {}: {line}", arguments.join(" "));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line} is no JSON: {error}"))
}
