//! GPU that is expected to be free on a host when nothing that comes along fits any more.

use smallvec::SmallVec;

use super::{Bin, Demand, Mix, Slot};

/// Futures over which the expectation is taken.
const FUTURES: usize = 32;
/// Requests of a future.
const REQUESTS: usize = 80;
/// How often a machine with GPU comes along, beside one without of [`cpu_weight`].
const GPU_WEIGHT: u64 = 64;
/// Any number will do; it decides which futures there are.
const SEED: u64 = 0x6761_6e74_727d;

/// Rows of requests that might come.
#[derive(Clone, Debug, Default)]
pub(super) struct Futures {
    rows: Vec<Vec<Step>>,
    /// By the mix's numbers of demands.
    requests: Vec<Request>,
    /// The least that a machine with GPU needs: where less is left, nothing that is free is taken any more.
    least: Least,
}

/// One request of a row.
#[derive(Clone, Copy, Debug)]
struct Step {
    request: u16,
    /// The least that this or a later request of the row needs of one device.
    least_milli: u16,
}

/// A demand with what is asked of it most.
#[derive(Clone, Debug)]
struct Request {
    cpu_milli: u32,
    memory_mib: u32,
    gpu_milli: i64,
    demand: Demand,
}

#[derive(Clone, Copy, Debug, Default)]
struct Least {
    cpu_milli: u32,
    memory_mib: u32,
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
        let requests: Vec<Request> = mix.demands().iter().map(|(demand, _)| Request::of(demand)).collect();
        let rows = drawn.chunks(REQUESTS).map(|row| steps(row, &requests)).collect();
        let with_gpu = || requests.iter().filter(|request| request.gpu_milli > 0);
        let least = Least {
            cpu_milli: with_gpu().map(|request| request.cpu_milli).min().unwrap_or(0),
            memory_mib: with_gpu().map(|request| request.memory_mib).min().unwrap_or(0),
        };
        Self { rows, requests, least }
    }

    /// In thousandths of a GPU. Nothing is stranded where nothing is known of what comes.
    pub(super) fn stranded_milli(&self, bin: &Bin) -> i64 {
        if bin.free_gpu_milli() == 0 {
            return 0;
        }
        let sum: i64 = self.rows.iter().map(|row| self.left_over(bin, row)).sum();
        sum / self.rows.len().max(1) as i64
    }

    /// What is free once every request of a future that fits has taken its room, on the fullest devices that will do.
    fn left_over(&self, bin: &Bin, future: &[Step]) -> i64 {
        let Bin { mut cpu_milli, mut memory_mib, .. } = *bin;
        let mut free_milli = bin.free_gpu_milli();
        let mut slots: SmallVec<[Slot; 16]> = SmallVec::from_slice(bin.slots());
        let mut most_milli = most_free_milli(&slots);
        for step in future {
            if most_milli < step.least_milli {
                break;
            }
            let request = &self.requests[usize::from(step.request)];
            if request.cpu_milli > cpu_milli || request.memory_mib > memory_mib || request.gpu_milli > free_milli {
                continue;
            }
            if request.gpu_milli > 0 {
                if request.demand.milli > most_milli || !take(&mut slots, &request.demand) {
                    continue;
                }
                free_milli -= request.gpu_milli;
                most_milli = most_free_milli(&slots);
            }
            cpu_milli -= request.cpu_milli;
            memory_mib -= request.memory_mib;
            if cpu_milli < self.least.cpu_milli || memory_mib < self.least.memory_mib {
                break;
            }
        }
        free_milli
    }
}

impl Request {
    fn of(demand: &Demand) -> Self {
        let Demand { cpu_milli, memory_mib, .. } = *demand;
        Self { cpu_milli, memory_mib, gpu_milli: demand.gpu_milli(), demand: demand.clone() }
    }
}

fn steps(row: &[u16], requests: &[Request]) -> Vec<Step> {
    let mut least_milli = u16::MAX;
    let steps = row.iter().rev().map(|&request| {
        let Request { gpu_milli, demand, .. } = &requests[usize::from(request)];
        if *gpu_milli > 0 {
            least_milli = least_milli.min(demand.milli);
        }
        Step { request, least_milli }
    });
    let mut steps: Vec<Step> = steps.collect();
    steps.reverse();
    steps
}

fn most_free_milli(slots: &[Slot]) -> u16 {
    slots.iter().map(|slot| slot.free_milli).max().unwrap_or(0)
}

/// Takes the fullest devices that will do, if they suffice. The slots stay in order.
fn take(slots: &mut [Slot], demand: &Demand) -> bool {
    let does = |slot: &Slot| demand.accepts(slot.kind) && slot.free_milli >= demand.milli;
    let devices = usize::from(demand.devices);
    if devices > 1 && slots.iter().filter(|slot| does(slot)).count() < devices {
        return false;
    }
    for _ in 0..devices {
        let Some(at) = slots.iter().position(does) else { return false };
        slots[at].free_milli -= demand.milli;
        // Fuller than before, so it may belong further to the front of its kind.
        let mut at = at;
        while at > 0 && slots[at - 1] > slots[at] {
            slots.swap(at - 1, at);
            at -= 1;
        }
    }
    true
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

/// SplitMix64 (Steele, Lea, Flood, OOPSLA '14).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same with bins, which know nothing of what is least.
    fn plainly(futures: &Futures, mut bin: Bin, future: &[Step]) -> i64 {
        for step in future {
            let demand = &futures.requests[usize::from(step.request)].demand;
            if bin.fits(demand) {
                bin = bin.taken(demand);
            }
        }
        bin.free_gpu_milli()
    }

    #[test]
    fn what_is_left_is_what_bins_say_is_left() {
        let mut state = 7;
        let mut draw = |below: u64| next(&mut state) % below;
        for _ in 0..300 {
            let mut mix = Mix::of_kinds(["a", "b", "c"]);
            let demands: Vec<Demand> = (0..6)
                .map(|_| {
                    let devices = [0, 1, 1, 1, 2, 4][draw(6) as usize];
                    let milli = if devices == 1 { 100 + 100 * draw(10) as u16 } else { 1_000 };
                    // Small enough to be exact in a bin.
                    let (cpu_milli, memory_mib) = (draw(16) as u32, draw(8) as u32);
                    Demand { cpu_milli, memory_mib, devices, milli, kinds: draw(8) }
                })
                .collect();
            mix.learn(demands.into_iter().map(|demand| (demand, 1)).collect());
            let slots = (0..draw(9)).map(|_| Slot { kind: draw(3) as u8, free_milli: draw(11) as u16 * 100 });
            let slots: Vec<Slot> = slots.collect();
            let bin = Bin::new(draw(64) as u32, 40, slots);
            let futures = Futures::new(&mix, &[&bin]);
            for row in &futures.rows {
                let expected = plainly(&futures, bin.clone(), row);
                assert_eq!(futures.left_over(&bin, row), expected, "{bin:?} {:?}", futures.requests);
            }
        }
    }
}
