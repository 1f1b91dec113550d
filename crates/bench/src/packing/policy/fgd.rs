//! The steepest descent of fragmentation (Weng et al., Beware of Fragmentation, USENIX ATC '23).

use std::collections::HashMap;

use super::{Choose, Chosen, Policy};
use crate::packing::{
    fleet::Room,
    trace::{Pod, Trace},
};

/// Shapes are typical until so many percent of all pods are.
const TYPICAL_PERCENT: usize = 95;

pub(super) const POLICY: Policy =
    Policy { name: "FGD", start: |trace, _, _| Box::new(Fgd { typical: typical(trace), known: HashMap::new() }) };

struct Fgd {
    typical: Vec<(Pod, f64)>,
    known: HashMap<(u32, u8, Vec<u16>), f64>,
}

/// The most frequent shapes, memory aside, with their part of those that are typical.
fn typical(trace: &Trace) -> Vec<(Pod, f64)> {
    let mut counts: HashMap<Pod, (usize, usize)> = HashMap::new();
    for (at, pod) in trace.pods.iter().enumerate() {
        counts.entry(Pod { memory_mib: 0, ..pod.clone() }).or_insert((0, at)).0 += 1;
    }
    let mut shapes: Vec<(Pod, (usize, usize))> = counts.into_iter().collect();
    shapes.sort_by_key(|&(_, (count, first))| (std::cmp::Reverse(count), first));
    let mut covered = 0;
    let enough = shapes.iter().position(|(_, (count, _))| {
        covered += count;
        covered * 100 >= trace.pods.len() * TYPICAL_PERCENT
    });
    shapes.truncate(enough.map_or(shapes.len(), |at| at + 1));
    shapes.into_iter().map(|(pod, (count, _))| (pod, count as f64 / covered as f64)).collect()
}

impl Fgd {
    /// Idle GPU that the typical shapes cannot use, in thousandths.
    fn fragmentation(&mut self, room: &Room) -> f64 {
        let mut free = room.free_milli.clone();
        free.sort_unstable();
        let typical = &self.typical;
        *self.known.entry((room.cpu_milli, room.model, free)).or_insert_with(|| {
            let idle = room.free_gpu_milli() as f64;
            let of = |pod: &Pod| {
                let fits = pod.gpus > 0 && Room { memory_mib: u32::MAX, ..room.clone() }.fits(pod);
                let small = room.free_milli.iter().filter(|&&free| free < pod.gpu_milli);
                if fits { small.map(|&free| f64::from(free)).sum() } else { idle }
            };
            typical.iter().map(|(pod, part)| part * of(pod)).sum()
        })
    }

    /// The best devices with their score.
    fn devices(&mut self, room: &Room, pod: &Pod) -> (i64, Vec<usize>) {
        let before = self.fragmentation(room);
        let mut ways = vec![room.fullest(pod)];
        if pod.is_share() {
            let fitting = (0..room.free_milli.len()).filter(|&at| room.free_milli[at] >= pod.gpu_milli);
            ways = fitting.map(|at| vec![at]).collect();
        }
        let mut best: Option<(i64, Vec<usize>)> = None;
        for devices in ways {
            let mut after = room.clone();
            after.take(pod, &devices);
            let descent = (before - self.fragmentation(&after)) / 1_000.0;
            let score = (100.0 / (1.0 + (-descent).exp())) as i64;
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, devices));
            }
        }
        best.unwrap_or_default()
    }
}

impl Choose for Fgd {
    fn choose(&mut self, rooms: &[Room], pod: &Pod) -> Option<Chosen> {
        let mut best: Option<(i64, Chosen)> = None;
        for (node, room) in rooms.iter().enumerate().filter(|(_, room)| room.fits(pod)) {
            let (score, devices) = self.devices(room, pod);
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, Chosen { node, devices }));
            }
        }
        best.map(|(_, chosen)| chosen)
    }
}
