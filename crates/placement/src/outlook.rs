//! What is likely to be asked for next, and what the room of a host is worth to it.
//!
//! GPUs are lost in two ways, and a placement is charged for both, in thousandths of a GPU:
//!
//! - **Stranded**: GPU that is free on the host once nothing that comes along fits any more. Expected over a fixed set of
//!   futures, each a row of requests drawn from the [`Mix`]; the same futures for every host, so that two hosts differ by
//!   what they are and not by luck.
//! - **Taken from the scarce**: what a placement takes from a demand that could have run on this host counts the more, the
//!   smaller the part of the fleet's free GPU is that this demand can use. With `d` a demand's part of all GPU asked for,
//!   `a` the GPU that it can still get anywhere and `f` all free GPU, one thousandth taken from it costs `d * (f / a)^2`
//!   divided by `SCARCITY_DIVISOR`. So GPUs of a rare kind, and hosts that are still whole, are kept for those who need
//!   them, and only as long as there are few of them.
//!
//! Machines without GPU count among what comes only as far as they compete for CPU that GPUs need; where there is enough of
//! it, a future with all of them would make every host look drained.
//!
//! The sum is rounded down to steps of [`STEP_MILLI`]: hosts within a step are equal, and equal hosts go in their order.
//! That keeps untouched hosts untouched, which is worth more than the last bit of an estimate.
//!
//! The fragmentation gradient (Weng et al., Beware of Fragmentation, USENIX ATC '23) counts idle GPU that some frequent
//! shapes cannot use now; this counts GPU that nothing will use in the end, and what others lose.

mod bin;
mod coarse;
mod known;
mod mix;
mod scarcity;
mod stranded;

pub use self::{
    bin::{Bin, Slot},
    mix::{Demand, Mix},
};
use self::{known::Known, scarcity::Scarcity, stranded::Futures};

/// Costs that differ by less are equal.
pub const STEP_MILLI: i64 = 12;
const SCARCITY_DIVISOR: i64 = 300;

/// What hosts' room is worth. A value of its own: two outlooks of the same mix and the same bins agree in everything.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    mix: Mix,
    futures: Futures,
    known: Known,
    scarcity: Scarcity,
}

/// Where on a host a demand would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// In steps of [`STEP_MILLI`].
    pub cost: i64,
    /// What the device that a share goes to has free; nothing for whole devices.
    pub device: Option<Slot>,
}

impl Outlook {
    /// For what `mix` says is asked for, over a fleet of these bins.
    pub fn new<'a>(mix: Mix, bins: impl Iterator<Item = &'a Bin>) -> Self {
        let bins: Vec<&Bin> = bins.collect();
        let futures = Futures::new(&mix, &bins);
        let mut outlook = Self { scarcity: Scarcity::new(&mix), mix, futures, known: Known::default() };
        bins.into_iter().for_each(|bin| outlook.changed(&Bin::default(), bin));
        outlook.reprice();
        outlook
    }

    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The cheapest way to put a demand on a host, if it fits.
    pub fn fit(&mut self, bin: &Bin, demand: &Demand) -> Option<Fit> {
        self.known.make_room(bin.slots().len() + 2);
        let before = self.known.place(&self.mix, bin);
        if let Some(fit) = self.known.fit(before, demand) {
            return fit;
        }
        let mut best: Option<Fit> = None;
        let was_stranded = self.known.stranded_milli(&self.futures, before);
        for (device, after) in bin.options(demand) {
            let after = self.known.place(&self.mix, &after);
            let stranded = self.known.stranded_milli(&self.futures, after) - was_stranded;
            let capacities = [before, after].map(|place| self.known.capacities(place));
            let taken = self.scarcity.taken(&self.mix, capacities) / SCARCITY_DIVISOR;
            let cost = (stranded + taken).div_euclid(STEP_MILLI);
            if best.is_none_or(|best| cost < best.cost) {
                best = Some(Fit { cost, device });
            }
        }
        self.known.remember_fit(before, demand, best);
        best
    }

    /// No placement on a host with this room costs less.
    pub fn least_cost(&mut self, bin: &Bin) -> i64 {
        if bin.slots().is_empty() {
            return 0;
        }
        self.known.make_room(1);
        let place = self.known.place(&self.mix, bin);
        (-self.known.stranded_milli(&self.futures, place)).div_euclid(STEP_MILLI)
    }

    /// A host has come to have this room instead of that. What that does to prices counts from [`Outlook::reprice`] on.
    pub fn changed(&mut self, before: &Bin, after: &Bin) {
        self.known.make_room(2);
        let [before_place, after_place] = [before, after].map(|bin| self.known.place(&self.mix, bin));
        let capacities = [before_place, after_place].map(|place| self.known.capacities(place));
        self.scarcity.changed(&self.mix, capacities, after.free_gpu_milli() - before.free_gpu_milli());
    }

    /// Sets the prices by what is free now. Returns whether they are others: a little more or less is not worth finding
    /// everything out anew.
    pub fn reprice(&mut self) -> bool {
        let is_other = self.scarcity.price(&self.mix);
        if is_other {
            self.known.forget_fits();
        }
        is_other
    }
}

#[cfg(test)]
mod tests;
