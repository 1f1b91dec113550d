//! What a demand costs on hosts that are alike: an estimate for all hosts that were not looked at.
//!
//! In a large fleet nearly every host has other room, and to find out what each is worth to every demand would take longer
//! than to place machines. But hosts with about the same room are worth about the same.

use std::collections::BTreeMap;

use gantry_fleet::HostSet;
use gantry_types::HostId;

use crate::{
    outlook::{Bin, Demand, Outlook},
    score::FOLLOWERS,
};

/// Demands that are kept; all are forgotten where there are more.
const DEMANDS: usize = 1_024;
/// Kinds of room that are told apart. Those that come later count as the last one.
const LIKES: usize = 16_384;

/// What a host costs, in steps, on which a demand probably does not fit: about half a GPU.
const UNLIKELY: i64 = 40;

/// The number of a kind of room.
pub(crate) type Like = u32;

#[derive(Clone, Debug, Default)]
pub(super) struct Likes {
    /// Roughly, with their numbers.
    numbers: BTreeMap<Bin, Like>,
    bins: Vec<Bin>,
    /// By number.
    hosts: Vec<HostSet>,
    /// By host number.
    of_host: Vec<Option<Like>>,
    demands: BTreeMap<Demand, Known>,
}

/// What one demand costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// By kind of room that a host has, or had.
    guesses: Vec<Option<Guess>>,
    least: i64,
}

/// What is likely of the hosts of one kind of room.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guess {
    /// In steps.
    pub(crate) cost: i64,
    /// Further machines that fit, as far as they count.
    pub(crate) more: u64,
}

impl Known {
    pub(crate) fn guess(&self, like: Like) -> Guess {
        let known = self.guesses.get(like as usize).copied().flatten();
        known.unwrap_or(Guess { cost: self.least, more: FOLLOWERS })
    }

    pub(crate) fn least(&self) -> i64 {
        self.least
    }
}

impl Likes {
    /// Takes over what room a host has.
    pub(super) fn set(&mut self, id: HostId, bin: Option<&Bin>) {
        let like = bin.map(|bin| self.number(bin));
        let at = id as usize;
        if self.of_host.len() <= at {
            self.of_host.resize(at + 1, None);
        }
        let before = std::mem::replace(&mut self.of_host[at], like);
        if before != like {
            before.into_iter().for_each(|before| self.hosts[before as usize].remove(id));
            like.into_iter().for_each(|like| self.hosts[like as usize].insert(id));
        }
    }

    fn number(&mut self, bin: &Bin) -> Like {
        let rough = bin.rough();
        if let Some(&number) = self.numbers.get(&rough) {
            return number;
        }
        if self.bins.len() >= LIKES {
            return LIKES as Like - 1;
        }
        let number = self.bins.len() as Like;
        self.bins.push(rough.clone());
        self.hosts.push(HostSet::default());
        self.numbers.insert(rough, number);
        number
    }

    pub(super) fn of(&self, id: HostId) -> Option<Like> {
        self.of_host.get(id as usize).copied().flatten()
    }

    /// Kinds of room that hosts have.
    pub(super) fn in_use(&self) -> impl Iterator<Item = Like> {
        (0..).zip(&self.hosts).filter(|(_, hosts)| !hosts.is_empty()).map(|(like, _)| like)
    }

    pub(super) fn hosts(&self, like: Like) -> impl Iterator<Item = HostId> {
        self.hosts[like as usize].iter()
    }

    /// Takes out what is known of a demand, to be put back with [`Likes::put_back`].
    pub(super) fn take(&mut self, outlook: &mut Outlook, demand: &Demand) -> Known {
        let mut known = self.demands.remove(demand).unwrap_or_default();
        known.guesses.resize(self.bins.len(), None);
        let rooms = self.bins.iter().zip(&self.hosts).zip(&mut known.guesses);
        for ((bin, _), guess) in rooms.filter(|((_, hosts), guess)| guess.is_none() && !hosts.is_empty()) {
            // Where it does not fit on such a host, it may yet fit on one that is about so.
            let cost = outlook.fit(bin, demand).map_or(UNLIKELY, |fit| fit.cost);
            known.least = known.least.min(cost);
            *guess = Some(Guess { cost, more: bin.followers(demand, FOLLOWERS) });
        }
        known
    }

    pub(super) fn put_back(&mut self, demand: &Demand, known: Known) {
        if self.demands.len() >= DEMANDS {
            self.demands.clear();
        }
        self.demands.insert(demand.clone(), known);
    }

    /// Prices have changed.
    pub(super) fn forget_costs(&mut self) {
        self.demands.clear();
    }
}
