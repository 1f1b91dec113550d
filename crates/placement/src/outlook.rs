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
#[derive(Debug, Default)]
pub struct Outlook {
    mix: Mix,
    futures: Futures,
    known: Known,
    scarcity: Scarcity,
}

/// Where on a host a demand would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// In steps of [`STEP_MILLI`].
    pub cost: i64,
    /// The host afterwards.
    pub after: Bin,
    /// Free thousandths of the device that a share goes to; nothing for whole devices, which are all alike.
    pub device_free_milli: Option<u16>,
}

impl Outlook {
    /// For what `mix` says is asked for, over a fleet of these bins.
    pub fn new<'a>(mix: Mix, bins: impl Iterator<Item = &'a Bin>) -> Self {
        let bins: Vec<&Bin> = bins.collect();
        let futures = Futures::new(&mix, &bins);
        let scarcity = Scarcity::new(&mix, bins.into_iter());
        Self { mix, futures, known: Known::default(), scarcity }
    }

    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The cheapest way to put a demand on a host, if it fits.
    pub fn fit(&mut self, bin: &Bin, demand: &Demand) -> Option<Fit> {
        let options = bin.options(demand);
        if options.is_empty() {
            return None;
        }
        self.known.make_room(options.len() + 1);
        let before = self.known.place(&self.mix, &self.futures, bin);
        let mut best: Option<Fit> = None;
        for (device_free_milli, after) in options {
            let place = self.known.place(&self.mix, &self.futures, &after);
            let (before, worth) = (self.known.worth(before), self.known.worth(place));
            let stranded = worth.stranded_milli - before.stranded_milli;
            let taken = self.scarcity.taken(&self.mix, &before.capacities, &worth.capacities) / SCARCITY_DIVISOR;
            let cost = (stranded + taken).div_euclid(STEP_MILLI);
            if best.as_ref().is_none_or(|best| cost < best.cost) {
                best = Some(Fit { cost, after, device_free_milli });
            }
        }
        best
    }

    /// A host has come to have this room instead of that.
    pub fn changed(&mut self, before: &Bin, after: &Bin) {
        self.scarcity.changed(&self.mix, before, after);
    }
}

#[cfg(test)]
mod tests;
