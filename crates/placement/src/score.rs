//! The order of feasible hosts. To add a term, write its file and add its line to [`TERMS`].
//!
//! A term says what a host costs, in microseconds of waiting. Terms are weighted ([`Weights`]) and summed, and the host
//! with the least sum wins. So a second of waiting for an image and GPU that nobody will be able to use are weighed against
//! each other, and no term rules out what the others say.

mod ready;
mod share;
mod spread;
mod stranded;

use std::cmp::Reverse;

use gantry_fleet::{Host, ImageEntry};
use gantry_types::HostId;

pub(crate) use self::share::FOLLOWERS;
use crate::{
    Room, Weights,
    outlook::Slot,
    readiness::Estimate,
    sight::{Asked, Outline, Prospect},
};

/// A named number of microseconds; fewer are better.
#[derive(Debug)]
pub struct Term {
    pub name: &'static str,
    pub(crate) cost_us: fn(&Asked<'_>, &Room<'_>, &Prospect) -> i64,
    /// For a host of this outline, the weighted sum of the terms is never less than the weighted sum of these. The more it
    /// is, the fewer hosts a planner has to look at.
    pub(crate) at_least_us: fn(&Outline) -> i64,
    pub(crate) weight: fn(&Weights) -> u32,
}

pub const TERMS: &[Term] = &[ready::TERM, share::TERM, stranded::TERM, spread::TERM];

/// What each of [`TERMS`] says, before it is weighted.
pub type Costs = [i64; TERMS.len()];

/// A host's place in the order. The fields from top to bottom are the priorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Where in the list of regions the host's is: a later one only counts where no earlier one has room.
    pub region: Reverse<u16>,
    /// The weighted sum of the terms.
    pub cost_us: Reverse<i64>,
    /// Of a new volume: the disk that is left. Of a machine on a host without GPU, where nothing can be stranded: how many
    /// more would fit.
    pub room: u64,
    /// Of the host's name, so that equal hosts have an order that is not that in which they were registered.
    pub name: Reverse<u64>,
    pub host: Reverse<HostId>,
}

/// A feasible host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranked {
    pub score: Score,
    pub costs_us: Costs,
    pub estimate: Estimate,
    /// What the device has free that a share of a GPU goes to; nothing for whole devices, or where nothing is known.
    pub device: Option<Slot>,
}

impl Ranked {
    pub fn host(&self) -> HostId {
        self.score.host.0
    }
}

impl Score {
    /// No host of this outline is before it.
    pub(crate) fn at_best(weights: &Weights, outline: &Outline) -> Self {
        let costs_us = std::array::from_fn(|at| (TERMS[at].at_least_us)(outline));
        let cost_us = weighted(weights, costs_us);
        let (region, host) = (outline.region, outline.host);
        Self {
            region: Reverse(region),
            cost_us: Reverse(cost_us),
            room: u64::MAX,
            name: Reverse(0),
            host: Reverse(host),
        }
    }
}

pub(crate) fn ranked(asked: &Asked<'_>, room: &Room<'_>, prospect: &Prospect) -> Ranked {
    let costs_us: Costs = std::array::from_fn(|at| (TERMS[at].cost_us)(asked, room, prospect));
    let host = room.host;
    let score = Score {
        region: Reverse(asked.region_place(room.fleet, &host.spec.region)),
        cost_us: Reverse(weighted(&asked.weights, costs_us)),
        room: room_left(asked, room, prospect),
        name: Reverse(name_hash(&host.name)),
        host: Reverse(host.id),
    };
    let device = prospect.fit.and_then(|fit| fit.device);
    Ranked { score, costs_us, estimate: prospect.estimate, device }
}

/// Terms are at most a year, and weights at most a hundred times what is usual: nothing gets near the end of the range.
fn weighted(weights: &Weights, costs_us: Costs) -> i64 {
    let weighted = |(term, cost_us): (&Term, i64)| cost_us.saturating_mul((term.weight)(weights).into());
    TERMS.iter().zip(costs_us).map(weighted).fold(0, i64::saturating_add).div_euclid(1_000)
}

fn room_left(asked: &Asked<'_>, room: &Room<'_>, prospect: &Prospect) -> u64 {
    match asked.ask.volume {
        Some((_, size_bytes)) => {
            room.host.spec.volume_bytes.saturating_sub(room.usage.volume_bytes).saturating_sub(size_bytes)
        }
        None if room.host.spec.devices.is_empty() => prospect.more,
        None => 0,
    }
}

/// FNV-1a.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Compressed bytes of the image's layers that the host has in any state. Both lists are sorted by layer.
pub fn present_bytes(image: Option<&ImageEntry>, host: &Host) -> u64 {
    let Some(image) = image else { return 0 };
    let mut held = host.layers();
    let mut bytes = 0;
    for layer in image.layers.iter() {
        // Images have few layers and hosts many: search, and go on behind what was found.
        match held.binary_search_by_key(&layer.layer, |h| h.layer) {
            Ok(at) => {
                bytes += layer.size_bytes;
                held = &held[at + 1..];
            }
            Err(at) => held = &held[at..],
        }
    }
    bytes
}
