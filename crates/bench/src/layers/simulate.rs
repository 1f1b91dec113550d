//! One run: arrivals and departures in the order of time, each placement by one policy.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    fleet::{Fleet, HostNo},
    gantry::Gantry,
    known::Known,
    workload::{Scenario, Workload},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Gantry,
    Known(Known),
}

impl Policy {
    pub const ALL: [(&'static str, Self); 6] = [
        ("gantry", Self::Gantry),
        ("spread", Self::Known(Known::Spread)),
        ("image_locality", Self::Known(Known::ImageLocality)),
        ("image_first", Self::Known(Known::ImageFirst)),
        ("layer_overlap", Self::Known(Known::LayerOverlap)),
        ("eta_greedy", Self::Known(Known::EtaGreedy)),
    ];
}

/// What the counted starts waited and fetched.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// In the order of the starts.
    pub waits_us: Vec<u64>,
    pub fetched_bytes: u64,
    /// Machines that found no free slot; they are not started later.
    pub refused: u64,
}

/// The first fifth fills the caches and is not counted.
pub fn run(policy: Policy, scenario: &Scenario, workload: &Workload, mut fleet: Fleet, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut departures = BinaryHeap::<Reverse<(u64, HostNo)>>::new();
    let mut gantry = Gantry::new(scenario, fleet.hosts());
    let (mut outcome, mut seen, mut plan, mut started) = (Outcome::default(), Vec::new(), Vec::new(), 0);
    let mut moves = &workload.moves[..];
    let uncounted = workload.lives_us.len() / 5;
    for arrival in &workload.arrivals {
        while let Some(&Reverse((at_us, host))) =
            departures.peek().filter(|Reverse((at_us, _))| *at_us <= arrival.at_us)
        {
            fleet.now_us = at_us;
            departures.pop();
            fleet.depart(host as usize);
        }
        fleet.now_us = arrival.at_us;
        if policy == Policy::Gantry {
            let due = moves.iter().take_while(|moved| moved.at_us <= arrival.at_us).count();
            let (now, later) = moves.split_at(due);
            now.iter().for_each(|moved| gantry.moved(&fleet, moved.app, moved.image));
            moves = later;
        }
        let image = &scenario.images[arrival.image as usize];
        if policy == Policy::Gantry {
            gantry.plan(&fleet, arrival.app, arrival.image, arrival.machines, &mut plan);
        }
        for n in 0..arrival.machines as usize {
            let chosen = match policy {
                Policy::Gantry => plan.get(n).copied(),
                Policy::Known(known) => known.choose(&fleet, image, &mut rng, &mut seen),
            };
            let life_us = workload.lives_us[started];
            started += 1;
            let Some(host) = chosen else {
                outcome.refused += 1;
                continue;
            };
            let placed = fleet.place(host as usize, image);
            if policy == Policy::Gantry && placed.fetched_bytes > 0 {
                gantry.changed(&fleet, host);
            }
            departures.push(Reverse((arrival.at_us + placed.wait_us + life_us, host)));
            if started > uncounted {
                outcome.waits_us.push(placed.wait_us);
                outcome.fetched_bytes += placed.fetched_bytes;
            }
        }
    }
    outcome
}
