//! What a placement takes from demands that few hosts can serve.

use super::Mix;

/// Prices are in this part of a thousandth.
const UNIT: i64 = 1 << 16;
/// The least part of the free GPU that a demand is taken to be able to use: its price grows no further.
const LEAST_PART: i64 = 50;

/// Prices that differ by less than this part are about the same.
const NEAR: u64 = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Scarcity {
    /// By demand: GPU that it could get, in thousandths, summed over the hosts.
    available: Vec<i64>,
    free: i64,
    /// By demand: what a thousandth that it could have got costs, in parts of [`UNIT`].
    prices: Vec<i64>,
}

impl Scarcity {
    pub(super) fn new(mix: &Mix) -> Self {
        Self { available: vec![0; mix.demands().len()], free: 0, prices: Vec::new() }
    }

    /// For what fits on a host before and after, by demand, and how much more GPU is free on it. Prices stay.
    pub(super) fn changed(&mut self, mix: &Mix, [before, after]: [&[u16]; 2], freed_milli: i64) {
        self.free += freed_milli;
        let capacities = before.iter().zip(after);
        for (((demand, _), available), (before, after)) in mix.demands().iter().zip(&mut self.available).zip(capacities)
        {
            *available += (i64::from(*after) - i64::from(*before)) * demand.gpu_milli();
        }
    }

    /// Returns whether prices are others than before; they stay where all are about the same.
    pub(super) fn price(&mut self, mix: &Mix) -> bool {
        let asked = |(demand, count): &(super::Demand, u32)| i64::from(*count) * demand.gpu_milli();
        let all: i64 = mix.demands().iter().map(asked).sum::<i64>().max(1);
        let free = self.free.max(1);
        let prices = mix.demands().iter().zip(&self.available).map(|(demand, &available)| {
            // How many times as much is free as this demand can use: at least once, at most LEAST_PART times.
            let times = |unit: i64| (unit * free / available.max(1)).clamp(unit, unit * LEAST_PART);
            let times = times(256);
            i64::try_from(
                i128::from(UNIT) * i128::from(asked(demand)) * i128::from(times * times) / (1 << 16) / i128::from(all),
            )
            .unwrap_or(i64::MAX)
        });
        let prices: Vec<i64> = prices.collect();
        let is_near = |(now, before): (&i64, &i64)| now.abs_diff(*before) <= before.unsigned_abs() / NEAR;
        if prices.len() == self.prices.len() && prices.iter().zip(&self.prices).all(is_near) {
            return false;
        }
        self.prices = prices;
        true
    }

    /// In thousandths of a GPU, for what fits before and after, by demand.
    pub(super) fn taken(&self, mix: &Mix, [before, after]: [&[u16]; 2]) -> i64 {
        let mut sum = 0;
        for (((demand, _), price), (before, after)) in
            mix.demands().iter().zip(&self.prices).zip(before.iter().zip(after))
        {
            if before != after {
                sum += (i64::from(*before) - i64::from(*after)) * demand.gpu_milli() * price;
            }
        }
        sum / UNIT
    }
}
