//! Backups, restores and recovery, by the command line on real servers: what was acknowledged is there again, what cannot be
//! used is refused, and the old cluster's members are kept out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Fleet, gantry, place, start};
use gantry_bench::cluster::Cluster;
use gantry_client::v1;
use serde_json::Value;

/// The name that the bench gives its clusters.
const NAME: &str = "bench";

fn prepare(nodes: u64) -> Cluster {
    Cluster::prepare(gantry(), Path::new(env!("CARGO_TARGET_TMPDIR")), nodes).expect("servers can be prepared")
}

/// Exit code and last line.
fn run(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(gantry()).arg("--json").args(arguments).output().expect("gantry runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or("null").to_owned();
    (output.status.code(), serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line} is no JSON: {error}")))
}

fn done(arguments: &[&str]) -> Value {
    let (code, value) = run(arguments);
    assert_eq!(code, Some(0), "gantry {}: {value}", arguments.join(" "));
    value
}

fn member_arguments(members: &[v1::Member]) -> Vec<String> {
    let member = |m: &v1::Member| ["--member".to_owned(), format!("{}={},{}", m.id, m.raft_addr, m.client_addr)];
    members.iter().flat_map(member).collect()
}

fn path(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}

/// Places machines and gives their reservations.
async fn place_some(cluster: &Cluster, prefix: &str, count: u64) -> Vec<v1::Reservation> {
    let mut placed = Vec::new();
    for number in 0..count {
        let answer = cluster.client().place(place(&format!("{prefix}-{number}"), "app", 1_000)).await;
        placed.extend(answer.expect("there is room").reservations);
    }
    placed
}

async fn reservations(cluster: &Cluster) -> Vec<v1::Reservation> {
    let listed = cluster.client().list(v1::ListRequest { page_size: 1_000, ..Default::default() }).await;
    listed.expect("a leader answers").reservations
}

/// As acknowledged: the same machines on the same hosts and GPUs with the same fences.
fn held(reservations: &[v1::Reservation]) -> Vec<(u64, String, Vec<u32>, u64)> {
    let mut held: Vec<_> = reservations
        .iter()
        .map(|r| (r.id, r.host.clone(), r.devices.iter().map(|device| device.index).collect(), r.fence))
        .collect();
    held.sort();
    held
}

fn restore_all(new: &Cluster, backup: &Path, name: &str) -> (Option<i32>, Value) {
    let members = new.members();
    let mut id = None;
    let mut last = (None, Value::Null);
    for member in &members {
        let (node, dir) = (member.id.to_string(), path(&new.data_of(member.id).expect("it was prepared")));
        let id = id.get_or_insert_with(|| format!("{:016x}", 0xabc_u64)).clone();
        let mut arguments = vec!["restore".to_owned(), path(backup), "--cluster".to_owned(), name.to_owned()];
        arguments.extend(["--dir".to_owned(), dir, "--node".to_owned(), node, "--cluster-id".to_owned(), id]);
        arguments.extend(member_arguments(&members));
        last = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        if last.0 != Some(0) {
            return last;
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_any_member_restores_onto_five_fresh_directories() {
    let mut old = start().await;
    let _fleet = Fleet::register(&old, 8).await;
    let placed = place_some(&old, "before", 12).await;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made");
    let mut files = Vec::new();
    for (at, addr) in old.addrs().iter().enumerate() {
        let file = dir.path().join(format!("backup-{at}"));
        let taken = done(&["--addr", addr, "backup", &path(&file)]);
        assert_eq!(taken["reservations"], 12, "a backup lacks what was acknowledged before it: {taken}");
        assert_eq!(taken["node"], at as u64 + 1);
        files.push((file, taken));
    }
    assert_eq!(run(&["--addr", &old.addrs()[0], "backup", &path(&files[0].0)]).0, Some(2), "a file is never replaced");
    place_some(&old, "after", 1).await;
    let old_ids: Vec<u64> = old.members().iter().map(|member| member.id).collect();
    for id in old_ids {
        old.kill(id).expect("a running node can be killed");
    }

    let mut new = prepare(5);
    let (code, made) = restore_all(&new, &files[1].0, NAME);
    assert_eq!(code, Some(0), "{made}");
    new.start_all().await.expect("the restored members elect a leader");
    let found = reservations(&new).await;
    assert_eq!(held(&found), held(&placed), "exactly what the backup held is there");
    let again = new.client().place(place("before-3", "app", 1_000)).await.expect("a repeated request is answered");
    assert_eq!(held(&again.reservations), held(&placed[3..4]), "answers are remembered over a restore");
    let more = place_some(&new, "new", 5).await;
    let newest = placed.iter().map(|r| r.fence).max().expect("some were placed");
    assert!(more.iter().all(|r| r.fence > newest + 1), "a fence of the old cluster may have been given out again");
    let settled = new.settled().await.expect("five members come to one rev");
    assert!(settled.windows(2).all(|two| two[0].state_hash == two[1].state_hash), "{settled:?}");
    let ids = settled.iter().map(|status| status.cluster_id.clone());
    assert!(ids.clone().all(|id| id == format!("{:016x}", 0xabc)), "{settled:?}");

    let (code, refused) = restore_all(&new, &files[1].0, NAME);
    assert_eq!(code, Some(2), "a directory in use is not restored into: {refused}");
    assert!(refused["error"]["message"].to_string().contains("is not empty"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_and_foreign_backups_are_refused_before_anything_is_touched() {
    let old = start().await;
    let _fleet = Fleet::register(&old, 2).await;
    place_some(&old, "some", 3).await;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made");
    let file = dir.path().join("backup");
    done(&["--addr", &old.addrs()[2], "backup", &path(&file)]);
    let whole = fs::read(&file).expect("the backup is there");
    let new = prepare(3);
    let refused = |bytes: &[u8], name: &str, why: &str| {
        fs::write(&file, bytes).expect("the file can be written");
        let (code, refused) = restore_all(&new, &file, name);
        assert_eq!(code, Some(2), "{refused}");
        assert!(refused["error"]["message"].to_string().contains(why), "{refused}");
        for member in new.members() {
            let data = new.data_of(member.id).expect("it was prepared");
            assert_eq!(fs::read_dir(data).expect("it was prepared").count(), 0, "something was made");
        }
    };
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    refused(&flipped, NAME, "is damaged");
    refused(&whole[..whole.len() - 1], NAME, "is damaged");
    refused(b"a file of something else", NAME, "is no backup of gantry");
    refused(&whole, "another", "is a backup of cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_becomes_a_new_cluster_and_the_old_members_stay_out() {
    let mut old = start().await;
    let _fleet = Fleet::register(&old, 8).await;
    let placed = place_some(&old, "before", 10).await;
    let settled = old.settled().await.expect("the members come to one rev");
    for id in 1..=3 {
        old.kill(id).expect("a running node can be killed");
    }
    let survivor = path(&old.data_of(2).expect("node 2 was there"));
    let members = old.members();
    let mut new = prepare(1);
    let into = path(&new.data_of(1).expect("it was prepared"));
    let member = &new.members()[0];
    let member = format!("7={},{}", member.raft_addr, member.client_addr);
    let arguments = ["recover", &survivor, "--into", &into, "--member", &member];
    let (code, refused) = run(&arguments);
    assert_eq!(code, Some(5), "recovery needs to be told that loss is accepted: {refused}");
    assert_eq!(fs::read_dir(&into).expect("it was prepared").count(), 0, "something was made");

    // The servers of the bench are numbered from 1: the new member takes the survivor's old number's place in a new cluster.
    let member = &new.members()[0];
    let member = format!("1={},{}", member.raft_addr, member.client_addr);
    let told = done(&["recover", &survivor, "--into", &into, "--member", &member, "--accept-loss"]);
    assert!(told["keeps_to"]["index"].as_u64() >= Some(settled[1].applied), "{told}");
    assert!(told["may_be_lost"].to_string().contains("acknowledged after"), "{told}");
    new.start_all().await.expect("a cluster of one leads itself");
    assert_eq!(held(&reservations(&new).await), held(&placed), "as announced: everything to the survivor's last entry");
    place_some(&new, "new", 2).await;

    // An old member that is started again, and told to join: it is of another cluster, and its number was used.
    old.restart(3).await.expect("an old server starts");
    let old_addr = members[2].client_addr.clone();
    let joined = run(&["--addr", &old_addr, "--timeout", "5s", "cluster", "join", "--seed", &new.addrs()[0]]);
    assert_ne!(joined.0, Some(0), "an old member got in: {}", joined.1);
    let status = new.status(1, false).await.expect("the new cluster serves");
    assert_eq!(status.members.len(), 1, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspect_tells_what_a_stopped_server_has() {
    let mut cluster = start().await;
    let _fleet = Fleet::register(&cluster, 4).await;
    place_some(&cluster, "some", 4).await;
    let dir: PathBuf = cluster.data_of(1).expect("node 1 is there");
    // What is applied reaches the files a moment after the log does.
    let mut tries = 0;
    let settled = loop {
        let settled = cluster.settled().await.expect("the members come to one rev");
        let found = run(&["inspect", &path(&dir)]).1;
        assert_eq!(found["in_use"], true, "{found}");
        if found["state"]["applied"]["index"] == settled[0].applied {
            break settled;
        }
        tries += 1;
        assert!(tries < 100, "the files stay behind: {found}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    cluster.kill(1).expect("a running node can be killed");
    let found = done(&["inspect", &path(&dir)]);
    assert_eq!(found["state"]["hash"], settled[0].state_hash.as_str(), "{found}");
    assert_eq!(found["state"]["rows"]["reservation"], 4);
    assert_eq!(found["identity"]["cluster_id"], settled[0].cluster_id.as_str());
    assert!(found["log"]["last"]["index"].as_u64() >= Some(settled[0].applied));
    let text = Command::new(gantry()).args(["inspect", &path(&dir)]).output().expect("gantry runs");
    assert!(String::from_utf8_lossy(&text.stdout).contains("no problem was found"));
}
