//! The node on which the least is left.

use super::{Choose, Chosen, Policy};
use crate::packing::{experiment::highest, fleet::Room, trace::Pod};

const CPU_MILLI: f64 = 128_000.0;
const GPU_MILLI: f64 = 8_000.0;

pub(super) const POLICY: Policy = Policy { name: "BestFit", start: |_, _, _| Box::new(BestFit) };

struct BestFit;

impl Choose for BestFit {
    /// Scores are stretched to 0..100 over the feasible nodes, as the scheduler does that the experiment simulates.
    fn choose(&mut self, rooms: &[Room], pod: &Pod) -> Option<Chosen> {
        let scores = rooms.iter().filter(|room| room.fits(pod)).map(|room| score(room, pod));
        let (low, high) = scores.fold((i64::MAX, i64::MIN), |(low, high), score| (low.min(score), high.max(score)));
        let stretched = |room: &Room| (score(room, pod) - low) * 100 / (high - low).max(1);
        let node = highest(rooms, pod, stretched)?;
        Some(Chosen { node, devices: rooms[node].fullest(pod) })
    }
}

fn score(room: &Room, pod: &Pod) -> i64 {
    let cpu = f64::from(room.cpu_milli - pod.cpu_milli) / CPU_MILLI;
    let gpu = (room.free_gpu_milli() - pod.total_milli()) as f64 / GPU_MILLI;
    (100.0 * (1.0 - (0.5 * cpu + 0.5 * gpu))) as i64
}
