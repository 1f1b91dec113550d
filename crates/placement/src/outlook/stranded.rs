//! GPU that is expected to be free on a host when nothing that comes along fits any more.

use super::{Bin, Mix};

/// Futures over which the expectation is taken.
const FUTURES: usize = 24;
/// Requests of a future.
const REQUESTS: usize = 60;
/// A machine without GPU comes along half as often as it is asked for: those mostly go where GPUs cannot be used anyway.
const GPU_WEIGHT: u64 = 2;
/// Memory is looked at in so many steps of what there is, or up to twice as many.
const MEMORY_STEPS: u32 = 16;
/// Any number will do; it decides which futures there are.
const SEED: u64 = 0x6761_6e74_7279;

/// Rows of requests that might come.
#[derive(Debug, Default)]
pub(super) struct Futures {
    /// By number of the demand in the mix.
    rows: Vec<Vec<u16>>,
}

impl Futures {
    pub(super) fn new(mix: &Mix) -> Self {
        let weight = |(demand, count): &(super::Demand, u32)| {
            u64::from(*count) * if demand.devices > 0 { GPU_WEIGHT } else { 1 }
        };
        let ends = mix.demands().iter().scan(0, |end, demand| {
            *end += weight(demand);
            Some(*end)
        });
        let ends: Vec<u64> = ends.collect();
        let Some(&all) = ends.last() else { return Self::default() };
        let mut state = SEED;
        let mut draw = || {
            let at = next(&mut state) % all;
            ends.partition_point(|&end| end <= at) as u16
        };
        Self { rows: (0..FUTURES).map(|_| (0..REQUESTS).map(|_| draw()).collect()).collect() }
    }

    /// In thousandths of a GPU. Nothing is stranded where nothing is known of what comes.
    pub(super) fn stranded_milli(&self, mix: &Mix, bin: &Bin) -> i64 {
        let mut bin = bin.clone();
        bin.memory_mib -= bin.memory_mib % (bin.memory_mib / MEMORY_STEPS).max(1).next_power_of_two();
        let sum: i64 = self.rows.iter().map(|row| left_over(mix, bin.clone(), row)).sum();
        sum / self.rows.len().max(1) as i64
    }
}

/// What is free once every request of a future that fits has taken its room, on the fullest devices that will do.
fn left_over(mix: &Mix, mut bin: Bin, future: &[u16]) -> i64 {
    for &at in future {
        let (demand, _) = &mix.demands()[usize::from(at)];
        if bin.fits(demand) {
            bin = bin.taken(demand);
            if bin.free_gpu_milli() == 0 {
                return 0;
            }
        }
    }
    bin.free_gpu_milli()
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA '14).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
