//! The nodes of a run and what is free on them.

use super::trace::{Node, Pod, Trace};

/// One node. The free thousandths of its devices keep their places.
#[derive(Clone, Debug)]
pub struct Room {
    pub cpu_milli: u32,
    pub memory_mib: u32,
    pub model: u8,
    pub free_milli: Vec<u16>,
    /// Classes of the GPU pods on it, a bit each; see [`class`].
    pub classes: u8,
}

impl Room {
    pub fn new(node: &Node) -> Self {
        Self {
            cpu_milli: node.cpu_milli,
            memory_mib: node.memory_mib,
            model: node.model,
            free_milli: vec![1_000; usize::from(node.gpus)],
            classes: 0,
        }
    }

    pub fn fits(&self, pod: &Pod) -> bool {
        pod.cpu_milli <= self.cpu_milli
            && pod.memory_mib <= self.memory_mib
            && (pod.gpus == 0
                || (pod.models == 0 || pod.models >> self.model & 1 == 1)
                    && self.free_milli.iter().filter(|&&free| free >= pod.gpu_milli).count() >= usize::from(pod.gpus))
    }

    pub fn free_gpu_milli(&self) -> u64 {
        self.free_milli.iter().map(|&free| u64::from(free)).sum()
    }

    pub fn idle(&self) -> usize {
        self.free_milli.iter().filter(|&&free| free == 1_000).count()
    }

    /// Devices for a pod, the fullest that will do first; ties by index. Whole devices are the first idle ones.
    pub fn fullest(&self, pod: &Pod) -> Vec<usize> {
        let mut fitting: Vec<usize> =
            (0..self.free_milli.len()).filter(|&at| self.free_milli[at] >= pod.gpu_milli).collect();
        fitting.sort_by_key(|&at| self.free_milli[at]);
        fitting.truncate(usize::from(pod.gpus));
        fitting
    }

    pub fn take(&mut self, pod: &Pod, devices: &[usize]) {
        self.cpu_milli -= pod.cpu_milli;
        self.memory_mib -= pod.memory_mib;
        for &at in devices {
            self.free_milli[at] -= pod.gpu_milli;
        }
        self.classes |= class(pod);
    }
}

/// Shared, one, two, four, eight GPUs; none for a pod without.
pub fn class(pod: &Pod) -> u8 {
    match pod.gpus {
        0 => 0,
        _ if pod.is_share() => 1,
        1 => 2,
        2 => 4,
        3..=4 => 8,
        _ => 16,
    }
}

/// The nodes of a trace, all idle.
pub fn idle(trace: &Trace) -> Vec<Room> {
    trace.nodes.iter().map(Room::new).collect()
}
