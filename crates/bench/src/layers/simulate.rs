//! One run: arrivals and departures in the order of time, each placement by one policy.

use std::{cmp::Reverse, collections::BinaryHeap};

use anyhow::Result;
use gantry_types::ReservationId;

use super::{
    fleet::{Fleet, HostNo, Seen},
    gantry::Gantry,
    known::Known,
    workload::{Arrival, Scenario, Workload},
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
pub fn run(policy: Policy, scenario: &Scenario, workload: &Workload, fleet: Fleet, seed: u64) -> Result<Outcome> {
    let gantry = if policy == Policy::Gantry { Some(Gantry::new(scenario, &fleet)?) } else { None };
    let rng = fastrand::Rng::with_seed(seed);
    let (departures, outcome) = (BinaryHeap::new(), Outcome::default());
    let mut run = Run { policy, scenario, workload, gantry, fleet, rng, departures, started: 0, outcome };
    let mut seen = Vec::new();
    for arrival in &workload.arrivals {
        run.until(arrival.at_us)?;
        run.arrive(arrival, &mut seen)?;
    }
    Ok(run.outcome)
}

struct Run<'a> {
    policy: Policy,
    scenario: &'a Scenario,
    workload: &'a Workload,
    gantry: Option<Gantry<'a>>,
    fleet: Fleet,
    rng: fastrand::Rng,
    /// When machines end, with their host and, for our policy, their reservation.
    departures: BinaryHeap<Reverse<(u64, HostNo, ReservationId)>>,
    started: usize,
    outcome: Outcome,
}

impl Run<'_> {
    /// What happens before the time and at it.
    fn until(&mut self, at_us: u64) -> Result<()> {
        while let Some(&Reverse((departs_us, host, reservation))) = self.departures.peek() {
            if departs_us > at_us {
                break;
            }
            self.departures.pop();
            self.fleet.now_us = departs_us;
            self.fleet.depart(host as usize);
            if let Some(gantry) = &mut self.gantry {
                gantry.departed(reservation)?;
            }
        }
        self.fleet.now_us = at_us;
        Ok(())
    }

    fn arrive(&mut self, arrival: &Arrival, seen: &mut Vec<Seen>) -> Result<()> {
        let image = &self.scenario.images[arrival.image as usize];
        let planned = match &mut self.gantry {
            Some(gantry) => gantry.plan(&self.fleet, arrival.app, arrival.image, arrival.machines)?,
            None => Vec::new(),
        };
        for n in 0..arrival.machines as usize {
            let chosen = match self.policy {
                Policy::Gantry => planned.get(n).copied(),
                Policy::Known(known) => known.choose(&self.fleet, image, &mut self.rng, seen).map(|host| (host, 0)),
            };
            let life_us = self.workload.lives_us[self.started];
            self.started += 1;
            let Some((host, reservation)) = chosen else {
                self.outcome.refused += 1;
                continue;
            };
            let placed = self.fleet.place(host as usize, image);
            self.departures.push(Reverse((arrival.at_us + placed.wait_us + life_us, host, reservation)));
            if let Some(gantry) = &mut self.gantry {
                gantry.started(&self.fleet, host, arrival.image, placed.wait_us)?;
            }
            if self.started > self.workload.lives_us.len() / 5 {
                self.outcome.waits_us.push(placed.wait_us);
                self.outcome.fetched_bytes += placed.fetched_bytes;
            }
        }
        Ok(())
    }
}
