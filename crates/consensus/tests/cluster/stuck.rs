//! A leader that is heard, and whose entries do not arrive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gantry_machine::Entry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::node::{Node, PATIENCE, agree, config, entry, leader, place};

/// Connections that have carried more than this carry nothing more while they are muted: heartbeats do not come near.
const LOUD_BYTES: usize = 32 << 10;
/// Of an entry that is several times as large.
const COMMANDS: u64 = 4_000;
const POLL: Duration = Duration::from_millis(10);

/// Passes connections on; while `muted`, only those that carry little.
async fn pass_on(listener: TcpListener, to: String, muted: Arc<AtomicBool>) {
    while let Ok((near, _)) = listener.accept().await {
        let (to, muted) = (to.clone(), Arc::clone(&muted));
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(&to).await else { return };
            let ((mut requests, mut answer), (mut answers, mut request)) = (near.into_split(), far.into_split());
            let there = async {
                let (mut buffer, mut carried) = (vec![0; 16 << 10], 0);
                while let Ok(count @ 1..) = requests.read(&mut buffer).await {
                    carried = if muted.load(Relaxed) { carried + count } else { 0 };
                    while muted.load(Relaxed) && carried > LOUD_BYTES {
                        tokio::time::sleep(POLL).await;
                    }
                    if request.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            };
            let back = tokio::io::copy(&mut answers, &mut answer);
            tokio::select! {
                () = there => {}
                _ = back => {}
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_heard_and_commits_nothing_lets_another_lead() {
    let dir = tempfile::tempdir().unwrap();
    let muted = Arc::new(AtomicBool::new(false));
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let free = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (own, reached) = (free().await, free().await);
        let mut config = config(id, dir.path()).await;
        config.raft_addr = reached.local_addr().unwrap().to_string();
        tokio::spawn(pass_on(reached, own.local_addr().unwrap().to_string(), Arc::clone(&muted)));
        nodes.push(Node::start_on(config, own).await);
    }
    let members = nodes.iter().map(Node::member).collect();
    nodes[0].consensus.init(members).await.unwrap();
    let at = leader(&nodes).await;
    place(&nodes, 1).await;

    muted.store(true, Relaxed);
    let commands = (2..COMMANDS).flat_map(|number| entry(number).commands).collect();
    let large = Entry { commands, ..entry(2) };
    let proposal = nodes[at].consensus.propose(large);
    let other_leads = async {
        while !nodes.iter().enumerate().any(|(other, node)| other != at && node.role().is_leader) {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, other_leads).await.expect("it goes on leading");
    muted.store(false, Relaxed);
    let rev = place(&nodes, 3).await;
    agree(&nodes, rev).await;
    drop(proposal);
}
