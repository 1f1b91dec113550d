//! GPU that is expected to be free on a host when nothing that comes along fits any more.

use super::{Bin, Demand, Mix};

/// Futures over which the expectation is taken.
const FUTURES: usize = 32;
/// Requests of a future.
const REQUESTS: usize = 80;
/// How often a machine with GPU comes along, beside one without of [`cpu_weight`].
const GPU_WEIGHT: u64 = 64;
/// Memory is looked at in so many steps of what there is, or up to twice as many.
const MEMORY_STEPS: u32 = 16;
/// Any number will do; it decides which futures there are.
const SEED: u64 = 0x6761_6e74_727d;

/// Rows of requests that might come.
#[derive(Debug, Default)]
pub(super) struct Futures {
    /// By number of the demand in the mix.
    rows: Vec<Vec<u16>>,
}

impl Futures {
    /// For a fleet of these bins.
    pub(super) fn new(mix: &Mix, bins: &[&Bin]) -> Self {
        let without_gpu = cpu_weight(mix, bins);
        let weight = |(demand, count): &(Demand, u32)| {
            u64::from(*count) * if demand.devices > 0 { GPU_WEIGHT } else { without_gpu }
        };
        let ends = mix.demands().iter().scan(0, |end, demand| {
            *end += weight(demand);
            Some(*end)
        });
        let ends: Vec<u64> = ends.collect();
        let Some(&all) = ends.last() else { return Self::default() };
        // Each demand comes as often as it is asked for; only the order is drawn.
        let mut state = SEED;
        let count = (FUTURES * REQUESTS) as u64;
        let offset = next(&mut state) % all;
        let nth = |n: u64| ((u128::from(n) * u128::from(all) + u128::from(offset)) / u128::from(count)) as u64;
        let mut drawn: Vec<u16> = (0..count).map(|n| ends.partition_point(|&end| end <= nth(n)) as u16).collect();
        for at in (1..drawn.len()).rev() {
            drawn.swap(at, (next(&mut state) % (at as u64 + 1)) as usize);
        }
        Self { rows: drawn.chunks(REQUESTS).map(<[u16]>::to_vec).collect() }
    }

    /// In thousandths of a GPU. Nothing is stranded where nothing is known of what comes.
    pub(super) fn stranded_milli(&self, mix: &Mix, bin: &Bin) -> i64 {
        let mut bin = bin.clone();
        bin.memory_mib -= bin.memory_mib % (bin.memory_mib / MEMORY_STEPS).max(1).next_power_of_two();
        let sum: i64 = self.rows.iter().map(|row| left_over(mix, bin.clone(), row)).sum();
        sum / self.rows.len().max(1) as i64
    }
}

/// How often machines without GPU come along. They go first to CPU that no GPU needs, so they only count as far as there
/// is too little of that: by the square of the part that they want of the CPU which is left when all GPU is given out.
fn cpu_weight(mix: &Mix, bins: &[&Bin]) -> u64 {
    let (mut with_gpu, mut gpu, mut without) = (0_u128, 0_u128, 0_u128);
    for (demand, count) in mix.demands() {
        let cpu = u128::from(*count) * u128::from(demand.cpu_milli);
        if demand.devices > 0 {
            with_gpu += cpu;
            gpu += u128::from(*count) * demand.gpu_milli() as u128;
        } else {
            without += cpu;
        }
    }
    let all_cpu: u128 = bins.iter().map(|bin| u128::from(bin.cpu_milli)).sum();
    let all_gpu: u128 = bins.iter().map(|bin| bin.free_gpu_milli() as u128).sum();
    let left = all_cpu.saturating_sub(with_gpu * all_gpu / gpu.max(1));
    let wanted = without * all_gpu / gpu.max(1);
    let part = (wanted * u128::from(GPU_WEIGHT) / left.max(1)).min(u128::from(GPU_WEIGHT)) as u64;
    (part * part / GPU_WEIGHT).max(1)
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
