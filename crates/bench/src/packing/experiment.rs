//! One run: pods arrive one after the other, none leaves, and what is given out is noted.

use std::time::Instant;

use fastrand::Rng;

use super::{
    fleet::{self, Room},
    policy::{Chosen, Policy},
    trace::{Pod, Trace},
};

/// Pods arrive until they have asked for so many percent of the GPUs.
pub const ARRIVED: usize = 130;

#[derive(Clone, Debug)]
pub struct Run {
    /// By percent of the GPUs that arrived: the percent that is given out, a mean over the arrivals that round to it.
    pub allocated: Vec<f64>,
    pub decision_us: f64,
}

pub fn run(trace: &Trace, policy: &Policy, seed: u64) -> Run {
    let mut rng = Rng::with_seed(seed);
    let pods = arrivals(trace, &mut rng);
    let mut rooms = fleet::idle(trace);
    rng.shuffle(&mut rooms);
    let mut policy = (policy.start)(trace, &rooms, seed);
    let capacity = trace.capacity_milli() as f64;
    let (mut arrived, mut allocated) = (0, 0);
    let mut sums = vec![(0.0, 0_u32); ARRIVED + 1];
    let mut choosing = std::time::Duration::ZERO;
    for pod in &pods {
        let started = Instant::now();
        let chosen = policy.choose(&rooms, pod);
        choosing += started.elapsed();
        arrived += pod.total_milli();
        if let Some(Chosen { node, devices }) = chosen {
            assert!(rooms[node].fits(pod), "a policy chose node {node}, where {pod:?} does not fit: {:?}", rooms[node]);
            let before = rooms[node].clone();
            rooms[node].take(pod, &devices);
            policy.placed(node, &before, &rooms[node]);
            allocated += pod.total_milli();
        }
        let percent = (arrived as f64 * 100.0 / capacity).round() as usize;
        if let Some((sum, count)) = sums.get_mut(percent) {
            *sum += allocated as f64 * 100.0 / capacity;
            *count += 1;
        }
    }
    Run { allocated: means(&sums), decision_us: choosing.as_secs_f64() * 1e6 / pods.len() as f64 }
}

/// A percent at which no arrival ended has the value before it.
fn means(sums: &[(f64, u32)]) -> Vec<f64> {
    let mut last = 0.0;
    let mean = |&(sum, count): &(f64, u32)| {
        if count > 0 {
            last = sum / f64::from(count);
        }
        last
    };
    sums.iter().map(mean).collect()
}

/// The pods in the order of the seed, then drawn ones until 130 % of the GPUs are asked for; or fewer, where the list asks for
/// more.
fn arrivals(trace: &Trace, rng: &mut Rng) -> Vec<Pod> {
    let target = trace.capacity_milli() * ARRIVED as u64 / 100;
    let mut pods = trace.pods.clone();
    rng.shuffle(&mut pods);
    let mut asked: u64 = pods.iter().map(Pod::total_milli).sum();
    while asked > target {
        asked -= pods.swap_remove(rng.usize(..pods.len())).total_milli();
    }
    while trace.pods.iter().any(|pod| pod.gpus > 0) {
        let pod = &trace.pods[rng.usize(..trace.pods.len())];
        // By the share of one device, as the original does.
        if asked + u64::from(pod.gpu_milli) > target {
            break;
        }
        asked += pod.total_milli();
        pods.push(pod.clone());
    }
    pods
}

/// The first node of the highest score.
pub fn highest(rooms: &[Room], pod: &Pod, score: impl Fn(&Room) -> i64) -> Option<usize> {
    let feasible = rooms.iter().enumerate().filter(|(_, room)| room.fits(pod));
    let mut best: Option<(i64, usize)> = None;
    for (at, room) in feasible {
        let score = score(room);
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, at));
        }
    }
    best.map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::{super::policy::POLICIES, *};
    use crate::packing::trace::Node;

    fn trace() -> Trace {
        let node = |gpus, model| Node { cpu_milli: 12_000 * u32::from(gpus), memory_mib: 65_536, gpus, model };
        let pod = |gpus, gpu_milli, cpu_milli| Pod { cpu_milli, memory_mib: 1_024, gpus, gpu_milli, models: 0 };
        let nodes = (0..12).map(|n| node(if n % 3 == 0 { 2 } else { 8 }, n % 2)).collect();
        let kinds =
            [pod(1, 1_000, 11_000), pod(1, 470, 8_000), pod(1, 810, 3_000), pod(8, 1_000, 64_000), pod(0, 0, 8_000)];
        let pods = (0..160).map(|n| kinds[[0, 0, 1, 2, 1, 4, 0, 3][n % 8]].clone()).collect();
        Trace { nodes, models: vec!["A".into(), "B".into()], pods }
    }

    #[test]
    fn every_policy_gives_out_what_arrives_until_it_is_short() {
        let trace = trace();
        for policy in POLICIES {
            let run = run(&trace, policy, 42);
            // One pod of eight GPUs is 11 % of this fleet, so many a percent has the value of an earlier one.
            assert!((28.0..42.0).contains(&run.allocated[40]), "{}: {}", policy.name, run.allocated[40]);
            assert!(
                run.allocated[130] > 75.0 && run.allocated[130] <= 100.0,
                "{}: {}",
                policy.name,
                run.allocated[130]
            );
            assert!(run.allocated.windows(2).all(|two| two[0] <= two[1] + 1e-9), "{}", policy.name);
        }
    }

    #[test]
    fn a_seed_decides_everything() {
        let trace = trace();
        for policy in POLICIES {
            let [one, two, other] = [42, 42, 43].map(|seed| run(&trace, policy, seed).allocated);
            assert_eq!(one, two, "{}", policy.name);
            assert_ne!(one, other, "{}", policy.name);
        }
    }

    #[test]
    fn arrivals_stop_short_of_the_target() {
        let trace = trace();
        let asked: u64 = arrivals(&trace, &mut Rng::with_seed(1)).iter().map(Pod::total_milli).sum();
        let target = trace.capacity_milli() * 13 / 10;
        assert!(asked <= target + 7_000 && asked + 8_000 > target, "{asked} of {target}");
    }
}
