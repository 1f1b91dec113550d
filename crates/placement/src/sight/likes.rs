//! What a demand costs on hosts that are alike: an estimate for all hosts that were not looked at.
//!
//! In a large fleet nearly every host has other room, and to find out what each is worth to every demand would take longer
//! than to place machines. But hosts with about the same room are worth about the same to about the same demand. Even that
//! is found out bit by bit: of a kind of room that nobody looked at yet the usual is assumed, and what was found out is
//! kept until it is found out again, even where prices have changed since.

use std::collections::BTreeMap;

use gantry_fleet::HostSet;
use gantry_types::HostId;
use smallvec::SmallVec;

use crate::{
    outlook::{Bin, Demand, Outlook},
    score::{FOLLOWERS, Score},
};

/// Demands that are kept; the one that was asked for longest ago goes first.
const DEMANDS: usize = 128;
/// Kinds of room that are told apart; those that no host has are forgotten where there are more.
const LIKES: usize = 32_768;
/// How often that is done at most, in requests.
const REQUESTS_PER_SWEEP: u64 = 1_024;
/// Kinds of room that are looked at at once where nothing is known yet.
const LOOKS_FIRST: usize = 256;
/// Kinds of room, of those whose cost is not known or of old prices, that are looked at with each request; and those of
/// them that were promising.
const LOOKS_AROUND: usize = 2;
const LOOKS_AGAIN: usize = 8;
/// Kinds of room that are gone through for that, with each request.
const STEPS_AROUND: usize = 64;

/// What a host costs, in steps, on which a demand probably does not fit: about half a GPU.
const UNLIKELY: i32 = 40;

/// Costs beyond it, in steps, are all the same: more than all GPUs of a host.
const COST_AT_MOST: i64 = 1 << 20;

/// Kinds of room are ordered for each number of further machines, as far as they count.
const ORDERS: usize = FOLLOWERS as usize + 1;

/// The number of a kind of room.
pub(crate) type Like = u32;

#[derive(Clone, Debug)]
pub(super) struct Likes {
    /// Roughly, with their numbers.
    numbers: BTreeMap<Bin, Like>,
    bins: Vec<Bin>,
    at_most: usize,
    /// By number.
    hosts: Vec<HostSet>,
    /// By host number.
    of_host: Vec<Option<Like>>,
    /// Rough ones.
    demands: BTreeMap<Demand, Known>,
    /// Counts the requests.
    clock: u64,
    /// Counts the changes of prices.
    epoch: u32,
}

impl Default for Likes {
    fn default() -> Self {
        let (bins, hosts, of_host) = Default::default();
        let (numbers, demands) = Default::default();
        Self { numbers, bins, at_most: LIKES, hosts, of_host, demands, clock: 0, epoch: 1 }
    }
}

/// What one demand costs.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    demand: Demand,
    /// By kind of room.
    guesses: Vec<Guess>,
    /// By further machines that fit: kinds of room on which it may fit, by cost.
    orders: [Vec<(i32, Like)>; ORDERS],
    /// What is assumed of a kind of room, in steps.
    usual: i32,
    /// Where looking around goes on, and how far it has come since prices changed.
    next: usize,
    looked_at: usize,
    epoch: u32,
    used: u64,
}

/// What is likely of the hosts of one kind of room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    /// In steps; nothing where it fits on no host with such devices.
    cost: Option<i32>,
    /// Further machines that fit, as far as they count.
    more: u8,
    /// When it was found; 0 where it is assumed.
    epoch: u32,
}

/// Goes through kinds of room by how good they are.
pub(crate) struct Walk<'a, F> {
    known: &'a Known,
    score: F,
    /// By further machines: the next kind of room, and its place in the order.
    heads: [Option<(Score, Like, usize)>; ORDERS],
}

impl Guess {
    /// In steps.
    pub(crate) fn cost(&self) -> i64 {
        self.cost.unwrap_or(UNLIKELY).into()
    }
}

impl Known {
    fn of(demand: Demand) -> Self {
        let (guesses, orders) = (Vec::new(), Default::default());
        Self { demand, guesses, orders, usual: 0, next: 0, looked_at: 0, epoch: 0, used: 0 }
    }

    /// What is known of a demand for the same devices is a beginning.
    fn like(other: &Self, demand: Demand) -> Self {
        let mut known = Self { demand, looked_at: 0, ..other.clone() };
        known.guesses.iter_mut().for_each(|guess| guess.epoch = 0);
        known
    }

    pub(crate) fn guess(&self, like: Like) -> Guess {
        let usual = Guess { cost: Some(self.usual), more: FOLLOWERS as u8, epoch: 0 };
        self.guesses.get(like as usize).copied().unwrap_or(usual)
    }

    /// What it costs at least, in steps, as far as is known.
    pub(crate) fn least(&self) -> i64 {
        let firsts = self.orders.iter().filter_map(|order| order.first());
        firsts.map(|(cost, _)| *cost).min().unwrap_or(0).into()
    }

    /// Takes note of a kind of room that is new.
    fn grow(&mut self, bin: &Bin) {
        let (like, cost) = (self.guesses.len() as Like, bin.may_fit(&self.demand).then_some(self.usual));
        let guess = Guess { cost, more: bin.followers(&self.demand, FOLLOWERS) as u8, epoch: 0 };
        self.guesses.push(guess);
        self.enter(like, guess);
        self.looked_at = 0;
    }

    /// Finds out what a kind of room costs.
    fn look(&mut self, outlook: &mut Outlook, bin: &Bin, like: Like, epoch: u32) {
        let guess = &mut self.guesses[like as usize];
        guess.epoch = epoch;
        let before = *guess;
        let Some(cost_before) = before.cost else { return };
        // Where it does not fit on such a host, it may yet fit on one that is about so.
        let fit = outlook.fit(bin, &self.demand);
        let cost = fit.map_or(UNLIKELY, |fit| fit.cost.clamp(-COST_AT_MOST, COST_AT_MOST) as i32);
        if fit.is_some() {
            self.usual = (self.usual * 15 + cost) / 16;
        }
        if cost != cost_before {
            guess.cost = Some(cost);
            let after = *guess;
            let order = &mut self.orders[usize::from(before.more)];
            order.binary_search(&(cost_before, like)).map(|at| order.remove(at)).ok();
            self.enter(like, after);
        }
    }

    fn enter(&mut self, like: Like, guess: Guess) {
        let Some(cost) = guess.cost else { return };
        let order = &mut self.orders[usize::from(guess.more)];
        if let Err(at) = order.binary_search(&(cost, like)) {
            order.insert(at, (cost, like));
        }
    }

    /// Kinds of room, the best first. `score` is of a cost and further machines: the higher the cost, the lower.
    pub(crate) fn walk<F: Fn(i64, u64) -> Score>(&self, score: F) -> Walk<'_, F> {
        let heads = std::array::from_fn(|more| {
            let &(cost, like) = self.orders[more].first()?;
            Some((score(cost.into(), more as u64), like, 0))
        });
        Walk { known: self, score, heads }
    }
}

impl<F: Fn(i64, u64) -> Score> Iterator for Walk<'_, F> {
    type Item = (Score, Like);

    fn next(&mut self) -> Option<(Score, Like)> {
        let heads = self.heads.iter().enumerate().filter_map(|(more, head)| Some((more, head.as_ref()?)));
        // The scores differ in nothing else.
        let (more, &(score, like, at)) = heads.max_by_key(|(_, head)| head.0.cost_us)?;
        let next = self.known.orders[more].get(at + 1);
        self.heads[more] = next.map(|&(cost, like)| ((self.score)(cost.into(), more as u64), like, at + 1));
        Some((score, like))
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
        let number = self.bins.len() as Like;
        if self.bins.len() >= self.at_most {
            return number - 1;
        }
        self.bins.push(rough.clone());
        self.hosts.push(HostSet::default());
        self.numbers.insert(rough, number);
        number
    }

    /// Makes numbers free by giving all that are in use new ones, and so forgets all that was found out.
    fn forget_empty(&mut self) {
        let all = std::mem::take(&mut self.bins).into_iter().zip(std::mem::take(&mut self.hosts));
        self.numbers.clear();
        self.demands.clear();
        for (bin, hosts) in all.filter(|(_, hosts)| !hosts.is_empty()) {
            let number = self.bins.len() as Like;
            hosts.for_each(|id| self.of_host[id as usize] = Some(number));
            self.numbers.insert(bin.clone(), number);
            self.bins.push(bin);
            self.hosts.push(hosts);
        }
    }

    pub(super) fn of(&self, id: HostId) -> Option<Like> {
        self.of_host.get(id as usize).copied().flatten()
    }

    pub(super) fn hosts(&self, like: Like) -> &HostSet {
        &self.hosts[like as usize]
    }

    /// Takes out what is known of a demand, to be put back with [`Likes::put_back`].
    pub(super) fn take(&mut self, outlook: &mut Outlook, demand: &Demand) -> Known {
        self.clock += 1;
        // Not while a demand is taken out, which knows kinds of room by their numbers.
        if self.bins.len() >= self.at_most && self.clock.is_multiple_of(REQUESTS_PER_SWEEP) {
            self.forget_empty();
        }
        let rough = demand.rough();
        let mut known = self.demands.remove(&rough).unwrap_or_else(|| self.beginning(rough));
        let is_new = std::mem::replace(&mut known.used, self.clock) == 0;
        self.bins.iter().skip(known.guesses.len()).for_each(|bin| known.grow(bin));
        if known.epoch != self.epoch {
            (known.epoch, known.looked_at) = (self.epoch, 0);
        }
        let (steps, at_most) = if is_new { (LIKES, LOOKS_FIRST) } else { (STEPS_AROUND, LOOKS_AROUND) };
        let (mut looks, end) = (0, (known.looked_at + steps).min(self.bins.len()));
        while known.looked_at < end && looks < at_most {
            let at = known.next % self.bins.len();
            (known.next, known.looked_at) = (at + 1, known.looked_at + 1);
            if !self.hosts[at].is_empty() && self.is_old(&known, at as Like) {
                known.look(outlook, &self.bins[at], at as Like, self.epoch);
                looks += 1;
            }
        }
        known
    }

    fn beginning(&self, demand: Demand) -> Known {
        let is_near = |other: &&Known| {
            let other = &other.demand;
            (other.devices, other.milli, other.kinds) == (demand.devices, demand.milli, demand.kinds)
        };
        match self.demands.values().find(is_near) {
            Some(other) => Known::like(other, demand),
            None => Known::of(demand),
        }
    }

    fn is_old(&self, known: &Known, like: Like) -> bool {
        known.guess(like).epoch != self.epoch
    }

    /// `promising` were good as far as was known.
    pub(super) fn put_back(&mut self, outlook: &mut Outlook, mut known: Known, promising: &[Like]) {
        let old = promising.iter().filter(|&&like| self.is_old(&known, like)).take(LOOKS_AGAIN);
        for like in old.copied().collect::<SmallVec<[Like; LOOKS_AGAIN]>>() {
            known.look(outlook, &self.bins[like as usize], like, self.epoch);
        }
        if self.demands.len() >= DEMANDS {
            let oldest = self.demands.values().min_by_key(|known| known.used).map(|known| known.demand.clone());
            oldest.into_iter().for_each(|oldest| drop(self.demands.remove(&oldest)));
        }
        self.demands.insert(known.demand.clone(), known);
    }

    /// Prices, or what comes, have changed.
    pub(super) fn age(&mut self) {
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlook::{Mix, Slot};

    fn bin(n: u32) -> Bin {
        let slots = (0..4_u32).map(|at| Slot { kind: 0, free_milli: (n >> (2 * at) & 3) as u16 * 250 });
        Bin::new(64_000, 65_536, slots)
    }

    /// More kinds of room than are told apart come and go; what is walked are hosts' kinds all the same.
    #[test]
    fn kinds_that_nobody_has_are_forgotten_and_hosts_stay_where_they_are() {
        let demand = Demand { cpu_milli: 1_000, memory_mib: 1_024, devices: 1, milli: 250, kinds: 0 };
        let mut mix = Mix::of_kinds(["a"]);
        mix.learn(vec![(demand.clone(), 1)]);
        let bins: Vec<Bin> = (0..256).map(bin).collect();
        let mut outlook = Outlook::new(mix, bins.iter());
        let mut likes = Likes { at_most: 32, ..Likes::default() };
        for n in 0..256_u32 {
            likes.set(7, Some(&bins[n as usize]));
            likes.set(n % 5, Some(&bins[(n / 2) as usize]));
        }
        assert_eq!(likes.bins.len(), 32);
        for _ in 0..2 * REQUESTS_PER_SWEEP {
            let known = likes.take(&mut outlook, &demand);
            likes.put_back(&mut outlook, known, &[0]);
        }
        assert!(likes.bins.len() <= 6, "{}", likes.bins.len());
        likes.set(9, Some(&bins[255]));
        let known = likes.take(&mut outlook, &demand);
        let score = |cost, _| {
            let weights = crate::Weights::DEFAULT;
            let (host, region, ready_us, more_at_most) = (0, 0, 0, 0);
            Score::at_best(&weights, &crate::sight::Outline { host, region, ready_us, more_at_most, least_cost: cost })
        };
        let walked: Vec<(Score, Like)> = known.walk(score).collect();
        assert!(walked.is_sorted_by(|one, other| one.0.cost_us >= other.0.cost_us), "{walked:?}");
        let hosts = walked.iter().flat_map(|(_, like)| likes.hosts(*like).iter());
        let mut hosts: Vec<HostId> = hosts.collect();
        hosts.sort_unstable();
        assert_eq!(hosts, [0, 1, 2, 3, 4, 7, 9]);
    }
}
