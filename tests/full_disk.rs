//! Disks that are full: what makes the state larger is refused in time and by name, everything else goes on, and so does all of it
//! once there is room.

use std::{collections::HashMap, path::Path, time::Duration};

use gantry_bench::{
    audit::{self, replicas},
    cluster::Cluster,
};
use gantry_client::{Error, v1};

use crate::{
    disks::Disks,
    failover::Load,
    support::{Fleet, gantry, place},
};

const DISK_MIB: u64 = 512;
const NODES: u64 = 3;
/// Little, but more than the reserve is given up at.
const LITTLE_MIB: u64 = 40;
const POLL: Duration = Duration::from_millis(20);
/// Only to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start(disks: &Disks) -> (Cluster, Fleet) {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut cluster = Cluster::prepare(gantry(), base, NODES).expect("servers can be prepared");
    disks.give_to(&mut cluster);
    let cluster = cluster.formed().await.expect("three servers form a cluster");
    let fleet = Fleet::register(&cluster, 144).await;
    (cluster, fleet)
}

/// Places one machine after the other, and remembers what stands.
struct Placing<'a> {
    cluster: &'a Cluster,
    next: u64,
    /// Fences, by reservation.
    standing: HashMap<u64, u64>,
}

impl Placing<'_> {
    async fn place(&mut self) -> Result<v1::Reservation, Error> {
        self.next += 1;
        let mut placed = self.cluster.client().place(place(&format!("full-{}", self.next), "app", 250)).await?;
        let row = placed.reservations.remove(0);
        self.standing.insert(row.id, row.fence);
        Ok(row)
    }

    /// Goes on until it is refused for want of room.
    async fn until_refused(&mut self) -> Error {
        let refused = async {
            loop {
                match self.place().await {
                    Ok(_) => tokio::time::sleep(POLL).await,
                    Err(error) => return error,
                }
            }
        };
        tokio::time::timeout(PATIENCE, refused).await.expect("a full disk is noticed")
    }

    /// Tries until it is answered.
    async fn until_placed(&mut self) {
        let placed = async {
            while let Err(error) = self.place().await {
                assert_eq!(error.reason(), "DISK_FULL", "{error}");
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(PATIENCE, placed).await.expect("room is noticed");
    }

    async fn release_one(&mut self) {
        let id = *self.standing.keys().next().expect("something stands");
        let request = v1::ReleaseRequest { request_id: format!("free-{id}"), reservation_ids: vec![id] };
        self.cluster.client().release(request).await.expect("a release needs next to no room");
        self.standing.remove(&id);
    }

    /// What must go on while there is little room.
    async fn all_else_goes_on(&mut self, acknowledged: u64) {
        let listed = self.cluster.client().list(v1::ListRequest { page_size: 1_000, ..Default::default() }).await;
        assert_eq!(listed.expect("reads are answered").reservations.len(), self.standing.len());
        self.release_one().await;
        let again = self.cluster.client().place(place(&format!("full-{acknowledged}"), "app", 250)).await;
        again.expect("what was acknowledged is told again");
        let before = self.cluster.leader().await.expect("there is a leader");
        let handed = self.cluster.client().transfer_leader(v1::TransferLeaderRequest { to: 0 }).await;
        assert_ne!(handed.expect("a full leader can hand over").leader, before);
    }

    async fn kept(self, fleet: &Fleet) {
        let replicas = replicas::read(self.cluster).await.expect("all replicas come to rest");
        let findings = audit::audit_standing(&fleet.hosts, &self.standing, &Default::default(), &replicas);
        assert!(findings.kept(), "{findings}\n{:#?}", findings.described);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_disks_are_full_only_what_takes_room_is_refused() {
    let Some(disks) = Disks::new(NODES, DISK_MIB) else { return };
    let (mut cluster, fleet) = start(&disks).await;
    let mut placing = Placing { cluster: &cluster, next: 0, standing: HashMap::new() };
    for _ in 0..20 {
        placing.place().await.expect("there is room");
    }
    for left_mib in [LITTLE_MIB, 0] {
        (1..=NODES).for_each(|id| disks.fill(id, left_mib));
        let refused = placing.until_refused().await;
        assert_eq!((refused.reason(), refused.definite()), ("DISK_FULL", true), "{refused}");
        assert!(refused.message.contains("the disk of node"), "{refused}");
        placing.all_else_goes_on(20).await;
        // The new leader has looked at its own disk, too.
        assert_eq!(placing.until_refused().await.reason(), "DISK_FULL");
        (1..=NODES).for_each(|id| disks.empty(id));
        placing.until_placed().await;
    }
    let Placing { next, standing, .. } = placing;
    // One that starts without room waits for it.
    let leader = cluster.leader().await.expect("there is a leader");
    disks.fill(leader, 0);
    cluster.kill(leader).expect("it runs");
    disks.fill(leader, 0);
    cluster.launch(leader).expect("it was killed");
    let mut placing = Placing { cluster: &cluster, next, standing };
    placing.until_placed().await;
    disks.empty(leader);
    let Placing { next, standing, .. } = placing;
    cluster.ready(leader).await.expect("it starts once there is room");
    Placing { cluster: &cluster, next, standing }.kept(&fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_full_disk_lets_another_lead_and_nobody_is_refused() {
    let Some(disks) = Disks::new(NODES, DISK_MIB) else { return };
    let (cluster, fleet) = start(&disks).await;
    let load = Load::start(&cluster.addrs());
    load.goes_on().await;
    let leader = cluster.leader().await.expect("there is a leader");
    disks.fill(leader, LITTLE_MIB);
    let moved = async {
        while cluster.leader().await.expect("there is a leader") == leader {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.expect("it goes on leading");
    load.goes_on().await;
    disks.empty(leader);
    load.stop().await.kept(&cluster, &fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_without_a_byte_left_stops_nobody_and_comes_back_when_there_is_room() {
    let Some(disks) = Disks::new(NODES, DISK_MIB) else { return };
    let (mut cluster, fleet) = start(&disks).await;
    let load = Load::start(&cluster.addrs());
    load.goes_on().await;
    let leader = cluster.leader().await.expect("there is a leader");
    let follower = (1..=NODES).find(|id| *id != leader).expect("there are others");
    for _ in 0..3 {
        // Also what it gives up.
        disks.fill(follower, 0);
        load.goes_on().await;
    }
    // It may have room in files that it has already. What it is started anew with is none.
    cluster.kill(follower).expect("it was started");
    disks.fill(follower, 0);
    cluster.launch(follower).expect("it was killed");
    load.goes_on().await;
    let log = cluster.log_of(follower).expect("it has a log");
    assert!(log.contains("the disk is full: this node starts once there is room"), "{log}");
    disks.empty(follower);
    cluster.ready(follower).await.expect("it starts once there is room");
    load.goes_on().await;
    load.stop().await.kept(&cluster, &fleet).await;
}
