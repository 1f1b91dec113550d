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

/// How often what to fetch ahead is asked for.
const TICK_US: u64 = 2_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Gantry,
    /// The same, and hosts fetch ahead as the advisor says. All that is fetched counts.
    Advised,
    Known(Known),
}

impl Policy {
    /// Counts for nothing beside the others unless it is asked for: they fetch nothing ahead.
    pub const ADVISED: (&'static str, Self) = ("gantry_advised", Self::Advised);
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
    let is_ours = matches!(policy, Policy::Gantry | Policy::Advised);
    let last_us = workload.arrivals.last().map_or(1, |arrival| arrival.at_us);
    let gantry = if is_ours { Some(Gantry::new(scenario, &fleet, policy == Policy::Advised, last_us)?) } else { None };
    let rng = fastrand::Rng::with_seed(seed);
    let (departures, outcome) = (BinaryHeap::new(), Outcome::default());
    let mut run = Run { policy, scenario, workload, gantry, fleet, rng, departures, started: 0, outcome };
    let mut seen = Vec::new();
    let mut tick = 0;
    for arrival in &workload.arrivals {
        while policy == Policy::Advised && tick <= arrival.at_us {
            run.until(tick)?;
            run.tick()?;
            tick += TICK_US;
        }
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
    fn tick(&mut self) -> Result<()> {
        let Some(gantry) = &mut self.gantry else { return Ok(()) };
        let bytes = gantry.tick(&mut self.fleet)?;
        if self.started > self.workload.lives_us.len() / 5 {
            self.outcome.fetched_bytes += bytes;
        }
        Ok(())
    }

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
                Policy::Gantry | Policy::Advised => planned.get(n).copied(),
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
