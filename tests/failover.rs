//! Three real processes, a burst, every node killed and restarted in turn while it runs, and an audit of every
//! acknowledgement on every replica.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::support::{Fleet, place, start};
use gantry_bench::{
    audit::{self, Callers, Grant, replicas},
    cluster::Cluster,
};
use gantry_client::{Client, Retry, v1};
use tokio::task::JoinSet;

const CALLERS: usize = 24;
/// Machines of a caller that stand at a time: an older one is released for each new one, so the fleet never fills up.
const STANDING: usize = 20;
/// Acknowledgements before each kill, while the node is down, and after the last restart.
const PROGRESS: usize = 120;

/// What the callers have in common.
#[derive(Default)]
pub struct Burst {
    answered: AtomicUsize,
    over: AtomicBool,
}

/// What one caller saw.
#[derive(Default)]
pub struct Seen {
    placed: Vec<(String, Grant)>,
    released: HashSet<u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledgement_survives_the_kill_of_each_node_in_turn() {
    let mut cluster = start().await;
    let fleet = Fleet::register(&cluster, 144).await;
    let load = Load::start(&cluster.addrs());

    // The leader first, so that one kill is certain to hit it.
    let leader = cluster.leader().await.expect("a leader before the first kill");
    let others = (1..=3).filter(|&id| id != leader);
    for id in std::iter::once(leader).chain(others) {
        load.goes_on().await;
        cluster.kill(id).expect("a running node can be killed");
        // The other two go on alone.
        load.goes_on().await;
        cluster.restart(id).await.expect("a killed node starts again on its directory");
    }
    load.goes_on().await;
    load.stop().await.kept(&cluster, &fleet).await;
}

/// Callers that place and release until they are told to stop.
pub struct Load {
    burst: Arc<Burst>,
    clients: Vec<Client>,
    callers: JoinSet<Seen>,
}

impl Load {
    pub fn start(addrs: &[String]) -> Self {
        let burst = Arc::new(Burst::default());
        let clients: Vec<Client> = (0..CALLERS).map(|_| patient(addrs)).collect();
        let mut callers = JoinSet::new();
        for (caller, client) in clients.iter().enumerate() {
            callers.spawn(call(client.clone(), caller, Arc::clone(&burst)));
        }
        Self { burst, clients, callers }
    }

    /// Makes the callers know members that they were not told of.
    pub async fn learn_members(&self) {
        for client in &self.clients {
            client.learn_members().await.expect("a member tells who the others are");
        }
    }

    /// Waits until the callers have got answers that they did not have yet.
    pub async fn goes_on(&self) {
        self.burst.goes_on().await;
    }

    /// What they were told.
    pub async fn stop(mut self) -> Told {
        self.burst.over.store(true, Relaxed);
        let (mut acknowledged, mut released) = (Vec::new(), HashSet::new());
        while let Some(seen) = self.callers.join_next().await {
            let seen = seen.expect("a caller's task ends by itself");
            acknowledged.extend(seen.placed);
            released.extend(seen.released);
        }
        Told { acknowledged, released }
    }
}

pub struct Told {
    acknowledged: Vec<(String, Grant)>,
    released: HashSet<u64>,
}

impl Told {
    /// These are exactly what was acknowledged.
    pub fn kept_in(self, listed: &[v1::Reservation]) {
        let Self { acknowledged, released } = self;
        let sorted = |grants: Vec<Grant>| {
            let mut grants = grants;
            grants.sort();
            grants
        };
        let told =
            acknowledged.into_iter().map(|(_, grant)| grant).filter(|grant| !released.contains(&grant.reservation));
        assert_eq!(sorted(listed.iter().map(Grant::from).collect()), sorted(told.collect()));
    }

    /// Every replica holds exactly what was acknowledged.
    pub async fn kept(self, cluster: &Cluster, fleet: &Fleet) {
        let Self { mut acknowledged, released } = self;
        let placed: HashSet<u64> = acknowledged.iter().map(|(_, grant)| grant.reservation).collect();
        assert_eq!(placed.len(), acknowledged.len(), "no reservation is given to two requests");
        acknowledged.retain(|(_, grant)| !released.contains(&grant.reservation));
        // What was released must not stand any more: nobody asks for it.
        let sent = acknowledged.iter().map(|(request, _)| request.clone()).collect();

        let replicas = replicas::read(cluster).await.expect("all replicas come to rest");
        let findings = audit::audit(&fleet.hosts, &Callers { acknowledged, sent }, &replicas);
        assert!(findings.kept(), "{findings}\n{:#?}", findings.described);
        assert_eq!(findings.unanswered, 0, "{findings}");
    }
}

impl Burst {
    async fn goes_on(&self) {
        let before = self.answered.load(Relaxed);
        for _ in 0..4_000 {
            if self.answered.load(Relaxed) >= before + PROGRESS {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {} answers in 40 s", self.answered.load(Relaxed) - before);
    }
}

/// Places one machine after the other until the burst is over, and releases the older ones. Every call is answered in the end.
async fn call(client: Client, caller: usize, burst: Arc<Burst>) -> Seen {
    let mut seen = Seen::default();
    let mut standing = VecDeque::new();
    for number in 0.. {
        if burst.over.load(Relaxed) {
            break;
        }
        let request_id = format!("burst-{caller}-{number}");
        let gpu_milli = [1_000, 500, 250][number % 3];
        let response = client.place(place(&request_id, &format!("app-{}", number % 7), gpu_milli)).await;
        let response = response.unwrap_or_else(|error| panic!("{request_id} was not placed: {error}"));
        let [row] = &response.reservations[..] else { panic!("{request_id} got {response:?}") };
        burst.answered.fetch_add(1, Relaxed);
        standing.push_back(row.id);
        seen.placed.push((request_id, Grant::from(row)));
        if standing.len() > STANDING
            && let Some(oldest) = standing.pop_front()
        {
            let request = v1::ReleaseRequest { request_id: format!("free-{oldest}"), reservation_ids: vec![oldest] };
            client.release(request).await.unwrap_or_else(|error| panic!("{oldest} was not released: {error}"));
            seen.released.insert(oldest);
        }
    }
    seen
}

/// Rides out elections.
fn patient(addrs: &[String]) -> Client {
    let retry =
        Retry { attempts: 200, cap: Duration::from_millis(200), deadline: Duration::from_secs(40), ..Retry::default() };
    Client::new(addrs.to_vec()).expect("the addresses are well-formed").with_retry(retry)
}
