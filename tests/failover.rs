//! Three real processes, a burst, every node killed and restarted in turn while it runs, and an audit of every
//! acknowledgement on every replica.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{Fleet, place, start};
use gantry_bench::audit::{self, Callers, Grant, replicas};
use gantry_client::{Client, Retry, v1};
use tokio::{sync::mpsc, task::JoinSet};

const REQUESTS: usize = 1_500;
const CALLERS: usize = 24;
const RELEASE_EVERY: usize = 5;

/// What one caller saw.
enum Seen {
    Placed(String, Grant),
    Released(u64),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledgement_survives_the_kill_of_each_node_in_turn() {
    let mut cluster = start().await;
    let fleet = Fleet::register(&cluster, 144).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let (seen_tx, mut seen) = mpsc::unbounded_channel();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let client = patient(&cluster.addrs());
        callers.spawn(call(client, caller, Arc::clone(&answered), seen_tx.clone()));
    }
    drop(seen_tx);

    let mut leaders = HashSet::new();
    for (round, id) in [1, 2, 3].into_iter().enumerate() {
        wait_for(&answered, REQUESTS * (round + 1) / 5).await;
        let leader = cluster.leader().await.expect("a leader before each kill");
        leaders.insert(leader);
        cluster.kill(id).expect("a running node can be killed");
        // The other two go on alone for a while.
        let alone = answered.load(Ordering::Relaxed) + REQUESTS / 20;
        wait_for(&answered, alone.min(REQUESTS)).await;
        cluster.restart(id).await.expect("a killed node starts again on its directory");
    }
    while let Some(done) = callers.join_next().await {
        done.expect("a caller's task ends by itself");
    }
    assert!(leaders.len() > 1, "the kills never hit a leader: {leaders:?}");

    let mut acknowledged = Vec::new();
    let mut released = HashSet::new();
    let mut sent: HashSet<String> = (0..CALLERS).flat_map(|c| (0..REQUESTS).map(move |n| id(c, n))).collect();
    while let Some(seen) = seen.recv().await {
        match seen {
            Seen::Placed(request, grant) => acknowledged.push((request, grant)),
            Seen::Released(id) => drop(released.insert(id)),
        }
    }
    assert_eq!(acknowledged.len(), REQUESTS, "every request is answered in the end");
    let kept = |(_, grant): &(String, Grant)| !released.contains(&grant.reservation);
    for (request, _) in acknowledged.iter().filter(|placed| !kept(placed)) {
        sent.remove(request);
    }
    acknowledged.retain(kept);

    let replicas = replicas::read(&cluster).await.expect("all replicas come to rest");
    let findings = audit::audit(&fleet.hosts, &Callers { acknowledged, sent }, &replicas);
    assert!(findings.kept(), "{findings}\n{:#?}", findings.described);
    assert_eq!(findings.unanswered, 0, "{findings}");
}

/// Places its share one after the other, and releases some of it.
async fn call(client: Client, caller: usize, answered: Arc<AtomicUsize>, seen: mpsc::UnboundedSender<Seen>) {
    for number in (caller..REQUESTS).step_by(CALLERS) {
        let request_id = id(caller, number);
        let gpu_milli = [1_000, 500, 250][number % 3];
        let response = client.place(place(&request_id, &format!("app-{}", number % 7), gpu_milli)).await;
        let response = response.unwrap_or_else(|error| panic!("{request_id} was not placed: {error}"));
        let [row] = &response.reservations[..] else { panic!("{request_id} got {response:?}") };
        answered.fetch_add(1, Ordering::Relaxed);
        let _ = seen.send(Seen::Placed(request_id.clone(), Grant::from(row)));
        if number % RELEASE_EVERY == 0 {
            let release =
                v1::ReleaseRequest { request_id: format!("free-{request_id}"), reservation_ids: vec![row.id] };
            client.release(release).await.unwrap_or_else(|error| panic!("{request_id} was not released: {error}"));
            let _ = seen.send(Seen::Released(row.id));
        }
    }
}

fn id(caller: usize, number: usize) -> String {
    format!("burst-{caller}-{number}")
}

/// Rides out elections.
fn patient(addrs: &[String]) -> Client {
    let retry =
        Retry { attempts: 200, cap: Duration::from_millis(200), deadline: Duration::from_secs(40), ..Retry::default() };
    Client::new(addrs.to_vec()).expect("the addresses are well-formed").with_retry(retry)
}

async fn wait_for(answered: &AtomicUsize, wanted: usize) {
    for _ in 0..4_000 {
        if answered.load(Ordering::Relaxed) >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("only {} of {wanted} answered after 40 s", answered.load(Ordering::Relaxed));
}
