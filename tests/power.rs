//! Power cuts: what was not synced is gone on one node, on a majority, or on all of them at once, at random moments under load.
//! After each cut every acknowledged placement and release is there on every replica, and nothing else is.
//!
//! `GANTRY_POWER_CUTS` is how many, `GANTRY_SEED` repeats a run's choices.

mod load;

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use fastrand::Rng;
use gantry_bench::{
    audit::{self, replicas},
    cluster::Cluster,
};

use self::load::Load;
use crate::{
    disks::Disks,
    support::{Fleet, gantry},
};

const CUTS: usize = 100;
const HOSTS: usize = 96;
const DISK_MIB: u64 = 512;
const NODES: [u64; 3] = [1, 2, 3];
/// A cut comes at a random moment of so long.
const MOMENTS: Duration = Duration::from_millis(150);
/// One of so many cuts is followed by another while the nodes come back.
const AGAIN: u32 = 5;
/// Only to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}: it must be a number")))
}

/// What a run saw.
#[derive(Default)]
struct Tally {
    cuts: usize,
    /// By how many nodes it hit.
    hit: [usize; NODES.len()],
    /// From the return of all disks to the first acknowledgement, after a cut of all nodes.
    first_answers: Vec<Duration>,
    /// Calls whose outcome their caller did not know.
    doubts: usize,
    /// Of these, how many had taken effect.
    done: usize,
    acknowledged: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledgement_and_nothing_else_survives_power_cuts() {
    let Some(disks) = Disks::new(NODES.len() as u64, DISK_MIB) else { return };
    let wanted = number("GANTRY_POWER_CUTS").map_or(CUTS, |cuts| cuts as usize);
    let seed = number("GANTRY_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("GANTRY_SEED={seed} GANTRY_POWER_CUTS={wanted}");
    let mut rng = Rng::with_seed(seed);

    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut cluster = Cluster::prepare(gantry(), base, NODES.len() as u64).expect("servers can be prepared");
    disks.give_to(&mut cluster);
    let mut cluster = cluster.formed().await.expect("three servers form a cluster");
    let fleet = Fleet::register(&cluster, HOSTS).await;
    let mut load = Load::new(&cluster.addrs());
    let (mut tally, begun) = (Tally::default(), Instant::now());
    while tally.cuts < wanted {
        cut_once(&mut cluster, &disks, &fleet, &mut load, &mut rng, &mut tally).await;
    }
    tally.acknowledged = load.acknowledged();
    tally.print(begun.elapsed());
    // A run in which no cut hit a call under way says nothing.
    assert!(tally.doubts > 0 && tally.hit.iter().all(|hits| *hits > 0), "the cuts hit nothing");
}

/// One cycle: load, a cut, the nodes back, and the audit.
async fn cut_once(
    cluster: &mut Cluster,
    disks: &Disks,
    fleet: &Fleet,
    load: &mut Load,
    rng: &mut Rng,
    tally: &mut Tally,
) {
    load.start();
    load.goes_on().await;
    tokio::time::sleep(MOMENTS.mul_f64(rng.f64())).await;
    let mut nodes = NODES;
    rng.shuffle(&mut nodes);
    let hit = &nodes[..rng.usize(1..=NODES.len())];
    let mut returned = cut(cluster, disks, hit, tally);
    while rng.u32(0..AGAIN) == 0 {
        tokio::time::sleep(MOMENTS.mul_f64(rng.f64())).await;
        returned = cut(cluster, disks, hit, tally);
    }
    if hit.len() == NODES.len() {
        let answered = load.first_answer_after(returned).await;
        tally.first_answers.push(answered - returned);
    }
    for id in hit {
        cluster.ready(*id).await.expect("a node comes back after a power cut");
    }
    load.goes_on().await;
    load.stop().await;
    audit(cluster, fleet, load, tally).await;
}

/// Cuts the power of these nodes at once, brings it back, starts them, and says when the disks were back.
fn cut(cluster: &mut Cluster, disks: &Disks, hit: &[u64], tally: &mut Tally) -> Instant {
    // The processes first, see `Disks::cut`.
    for id in hit {
        cluster.kill(*id).expect("a started node can be killed");
    }
    disks.cut(hit);
    for id in hit {
        disks.return_power(*id);
    }
    let returned = Instant::now();
    for id in hit {
        cluster.launch(*id).expect("a killed node starts again");
    }
    tally.cuts += 1;
    tally.hit[hit.len() - 1] += 1;
    returned
}

async fn audit(cluster: &Cluster, fleet: &Fleet, load: &mut Load, tally: &mut Tally) {
    let read = tokio::time::timeout(PATIENCE, replicas::read(cluster)).await;
    let replicas = read.expect("the replicas can be read in time").expect("all replicas come to rest");
    let ids: Vec<u64> = replicas.iter().map(|replica| replica.node).collect();
    assert_eq!(ids, NODES, "a node has lost its data and came back under another id");
    let findings = audit::audit(&fleet.hosts, &load.told(), &replicas);
    assert!(findings.kept(), "after {} cuts: {findings}\n{:#?}", tally.cuts, findings.described);
    let (doubts, done) = load.settle_doubts(&replicas[0].reservations).await;
    tally.doubts += doubts;
    tally.done += done;
}

impl Tally {
    fn print(&mut self, took: Duration) {
        self.first_answers.sort();
        let ms = |percent: usize| {
            let at = (self.first_answers.len() * percent).div_ceil(100).max(1) - 1;
            self.first_answers.get(at).map_or(0, Duration::as_millis)
        };
        println!(
            "{} power cuts in {:.1} s: of one node {}, two {}, three {}; {} calls acknowledged, {} in doubt ({} of them done)",
            self.cuts,
            took.as_secs_f64(),
            self.hit[0],
            self.hit[1],
            self.hit[2],
            self.acknowledged,
            self.doubts,
            self.done
        );
        println!(
            "first answer after a cut of all nodes: p50 {} ms, max {} ms after the disks' return",
            ms(50),
            ms(100)
        );
    }
}
