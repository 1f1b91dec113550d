//! One run: arrivals and departures in the order of time, each placement by one policy.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    fleet::{Fleet, HostNo, Placed, Seen},
    gantry::Gantry,
    known::Known,
    workload::{Arrival, Moved, Scenario, Workload},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Gantry,
    /// The same placements; besides, a moved tag's image is fetched on some hosts before a machine needs it. This is not
    /// a part of the experiment, which knows no such fetches, and shows what they add.
    GantryAhead,
    Known(Known),
}

impl Policy {
    pub const ALL: [(&'static str, Self); 7] = [
        ("gantry", Self::Gantry),
        ("spread", Self::Known(Known::Spread)),
        ("image_locality", Self::Known(Known::ImageLocality)),
        ("image_first", Self::Known(Known::ImageFirst)),
        ("layer_overlap", Self::Known(Known::LayerOverlap)),
        ("eta_greedy", Self::Known(Known::EtaGreedy)),
        ("gantry_ahead", Self::GantryAhead),
    ];
}

impl Policy {
    fn is_gantry(self) -> bool {
        matches!(self, Self::Gantry | Self::GantryAhead)
    }
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
pub fn run(policy: Policy, scenario: &Scenario, workload: &Workload, fleet: Fleet, seed: u64) -> Outcome {
    let mut run = Run {
        policy,
        scenario,
        workload,
        gantry: Gantry::new(scenario, fleet.hosts()),
        fleet,
        rng: fastrand::Rng::with_seed(seed),
        departures: BinaryHeap::new(),
        moves: &workload.moves,
        started: 0,
        outcome: Outcome::default(),
    };
    let (mut seen, mut plan) = (Vec::new(), Vec::new());
    for arrival in &workload.arrivals {
        run.until(arrival.at_us);
        run.arrive(arrival, &mut seen, &mut plan);
    }
    run.outcome
}

struct Run<'a> {
    policy: Policy,
    scenario: &'a Scenario,
    workload: &'a Workload,
    gantry: Gantry<'a>,
    fleet: Fleet,
    rng: fastrand::Rng,
    departures: BinaryHeap<Reverse<(u64, HostNo)>>,
    moves: &'a [Moved],
    started: usize,
    outcome: Outcome,
}

impl Run<'_> {
    /// What happens before the time and at it.
    fn until(&mut self, at_us: u64) {
        loop {
            let departure_us = self.departures.peek().map_or(u64::MAX, |Reverse((at_us, _))| *at_us);
            let move_us = self.moves.first().map_or(u64::MAX, |moved| moved.at_us);
            self.fleet.now_us = departure_us.min(move_us).min(at_us);
            if departure_us.min(move_us) > at_us {
                return;
            }
            if move_us <= departure_us {
                self.moved(self.moves[0]);
                self.moves = &self.moves[1..];
            } else if let Some(Reverse((_, host))) = self.departures.pop() {
                self.fleet.depart(host as usize);
            }
        }
    }

    fn moved(&mut self, moved: Moved) {
        if !self.policy.is_gantry() {
            return;
        }
        self.gantry.moved(&self.fleet, moved.app, moved.image);
        if self.policy == Policy::GantryAhead {
            let mut hosts = Vec::new();
            self.gantry.ahead(&self.fleet, moved.app, moved.image, &mut hosts);
            for host in hosts {
                let fetched = self.fleet.fetch(host as usize, &self.scenario.images[moved.image as usize]);
                self.fetched(host, fetched);
            }
        }
    }

    fn arrive(&mut self, arrival: &Arrival, seen: &mut Vec<Seen>, plan: &mut Vec<HostNo>) {
        let image = &self.scenario.images[arrival.image as usize];
        if self.policy.is_gantry() {
            self.gantry.plan(&self.fleet, arrival.app, arrival.image, arrival.machines, plan);
        }
        for n in 0..arrival.machines as usize {
            let chosen = match self.policy {
                Policy::Gantry | Policy::GantryAhead => plan.get(n).copied(),
                Policy::Known(known) => known.choose(&self.fleet, image, &mut self.rng, seen),
            };
            let life_us = self.workload.lives_us[self.started];
            self.started += 1;
            let Some(host) = chosen else {
                self.outcome.refused += 1;
                continue;
            };
            let placed = self.fleet.place(host as usize, image);
            self.departures.push(Reverse((arrival.at_us + placed.wait_us + life_us, host)));
            if self.counted() {
                self.outcome.waits_us.push(placed.wait_us);
            }
            self.fetched(host, placed);
        }
    }

    fn fetched(&mut self, host: HostNo, placed: Placed) {
        if placed.fetched_bytes > 0 && self.policy.is_gantry() {
            self.gantry.changed(&self.fleet, host);
        }
        if self.counted() {
            self.outcome.fetched_bytes += placed.fetched_bytes;
        }
    }

    fn counted(&self) -> bool {
        self.started > self.workload.lives_us.len() / 5
    }
}
