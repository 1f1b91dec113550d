//! What a demand costs on hosts that are alike: an estimate for all hosts that were not looked at.
//!
//! In a large fleet nearly every host has other room, and to find out what each is worth to every demand would take longer
//! than to place machines. But hosts with about the same room are worth about the same.

use std::collections::BTreeMap;

use crate::outlook::{Bin, Demand, Outlook};

/// Demands that are kept; all are forgotten where there are more.
const DEMANDS: usize = 1_024;
/// Kinds of room that are told apart. Those that come later count as the last one.
const LIKES: usize = 16_384;

#[derive(Clone, Debug, Default)]
pub(super) struct Likes {
    /// Roughly, with their numbers.
    numbers: BTreeMap<Bin, u32>,
    bins: Vec<Bin>,
    demands: BTreeMap<Demand, Costs>,
}

/// What one demand costs, in steps.
#[derive(Clone, Debug, Default)]
struct Costs {
    /// By number of the room.
    costs: Vec<i64>,
    least: i64,
}

/// Of a demand, with all rooms known so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    costs: Vec<i64>,
    pub(crate) least: i64,
}

impl Known {
    pub(crate) fn cost(&self, like: u32) -> i64 {
        self.costs.get(like as usize).copied().unwrap_or(self.least)
    }
}

impl Likes {
    /// The number of what a host is like.
    pub(super) fn number(&mut self, bin: &Bin) -> u32 {
        let rough = bin.rough();
        if let Some(&number) = self.numbers.get(&rough) {
            return number;
        }
        if self.bins.len() >= LIKES {
            return LIKES as u32 - 1;
        }
        let number = self.bins.len() as u32;
        self.bins.push(rough.clone());
        self.numbers.insert(rough, number);
        number
    }

    /// Takes the costs of a demand out, to be put back with [`Likes::put_back`].
    pub(super) fn take(&mut self, outlook: &mut Outlook, demand: &Demand) -> Known {
        let Costs { mut costs, mut least } = self.demands.remove(demand).unwrap_or_default();
        for bin in &self.bins[costs.len()..] {
            // Where it does not fit on hosts like this, it may fit on the host itself, and nothing is known of that.
            let cost = outlook.fit(bin, demand).map_or_else(|| outlook.least_cost(bin), |fit| fit.cost);
            least = least.min(cost);
            costs.push(cost);
        }
        Known { costs, least }
    }

    pub(super) fn put_back(&mut self, demand: &Demand, Known { costs, least }: Known) {
        if self.demands.len() >= DEMANDS {
            self.demands.clear();
        }
        self.demands.insert(demand.clone(), Costs { costs, least });
    }

    /// Prices have changed.
    pub(super) fn forget_costs(&mut self) {
        self.demands.clear();
    }
}
