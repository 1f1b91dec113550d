//! The simulated hosts: slots, least-recently-used caches of layers, and links that fetch first in, first out.

use std::collections::VecDeque;

use super::files::{Image, LayerNo};

/// A host's number.
pub type HostNo = u32;

/// A layer on a host. Cells of one layer lie side by side, because decisions look at one image on all hosts.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// The last use, as a position in the host's order of uses; 0 where the layer is not there.
    used: u32,
    arrives_us: u64,
}

#[derive(Clone, Debug, Default)]
struct Host {
    free: u32,
    cached_bytes: u64,
    link_free_us: u64,
    uses: u32,
    /// Layers by their use, oldest first; an entry that is not the layer's last use is void.
    order: VecDeque<(u32, LayerNo)>,
    layers: usize,
}

/// One image as seen on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub missing_bytes: u64,
    /// When all layers are there if the image is placed now; not before now.
    pub ready_us: u64,
}

#[derive(Debug)]
pub struct Fleet {
    pub now_us: u64,
    pub slots: u32,
    pub cache_bytes: u64,
    /// Also bytes a microsecond.
    pub link_mb_per_s: u64,
    pub layer_bytes: Vec<u64>,
    hosts: Vec<Host>,
    cells: Vec<Cell>,
}

/// What one placement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    pub wait_us: u64,
    pub fetched_bytes: u64,
}

impl Fleet {
    pub fn new(hosts: usize, slots: u32, cache_bytes: u64, link_mb_per_s: u64, layer_bytes: Vec<u64>) -> Self {
        let cells = vec![Cell::default(); hosts * layer_bytes.len()];
        let hosts = vec![Host { free: slots, ..Host::default() }; hosts];
        Self { now_us: 0, slots, cache_bytes, link_mb_per_s, layer_bytes, hosts, cells }
    }

    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    pub fn free(&self, host: usize) -> u32 {
        self.hosts[host].free
    }

    pub fn has(&self, host: usize, layer: LayerNo) -> bool {
        self.cells[layer as usize * self.hosts.len() + host].used != 0
    }

    #[cfg(test)]
    pub fn room_bytes(&self, host: usize) -> u64 {
        self.cache_bytes.saturating_sub(self.hosts[host].cached_bytes)
    }

    /// The host's layers, the one used longest ago first.
    #[cfg(test)]
    pub fn oldest(&self, host: usize) -> impl Iterator<Item = LayerNo> {
        let all = self.hosts.len();
        let valid = move |&&(used, layer): &&(u32, LayerNo)| self.cells[layer as usize * all + host].used == used;
        self.hosts[host].order.iter().filter(valid).map(|&(_, layer)| layer)
    }

    /// The image on all hosts, into `seen`.
    pub fn look(&self, image: &Image, seen: &mut Vec<Seen>) {
        seen.clear();
        seen.resize(self.hosts.len(), Seen { missing_bytes: 0, ready_us: self.now_us });
        for &layer in &image.layers {
            let start = layer as usize * self.hosts.len();
            let bytes = self.layer_bytes[layer as usize];
            for (seen, cell) in seen.iter_mut().zip(&self.cells[start..start + self.hosts.len()]) {
                if cell.used == 0 {
                    seen.missing_bytes += bytes;
                } else {
                    seen.ready_us = seen.ready_us.max(cell.arrives_us);
                }
            }
        }
        for (seen, host) in seen.iter_mut().zip(&self.hosts) {
            if seen.missing_bytes > 0 {
                seen.ready_us = host.link_free_us.max(self.now_us) + seen.missing_bytes / self.link_mb_per_s;
            }
        }
    }

    /// Takes a slot, orders what is missing, and makes room for it.
    pub fn place(&mut self, at: usize, image: &Image) -> Placed {
        assert!(self.hosts[at].free > 0, "a policy chose a host without a free slot");
        self.hosts[at].free -= 1;
        self.fetch(at, image)
    }

    /// Uses the image without a machine: orders what is missing, and makes room for it.
    pub fn fetch(&mut self, at: usize, image: &Image) -> Placed {
        let all = self.hosts.len();
        let host = &mut self.hosts[at];
        let mut placed = Placed::default();
        let mut ready_us = self.now_us;
        for &layer in &image.layers {
            let cell = &mut self.cells[layer as usize * all + at];
            let bytes = self.layer_bytes[layer as usize];
            if cell.used == 0 {
                placed.fetched_bytes += bytes;
                host.cached_bytes += bytes;
                host.layers += 1;
                // Whole images are summed before they are divided, so that a look and a placement agree.
                cell.arrives_us = host.link_free_us.max(self.now_us) + placed.fetched_bytes / self.link_mb_per_s;
            }
            ready_us = ready_us.max(cell.arrives_us);
            host.uses += 1;
            cell.used = host.uses;
            host.order.push_back((host.uses, layer));
        }
        host.link_free_us = host.link_free_us.max(self.now_us) + placed.fetched_bytes / self.link_mb_per_s;
        self.evict(at);
        placed.wait_us = ready_us - self.now_us;
        placed
    }

    pub fn depart(&mut self, host: usize) {
        self.hosts[host].free += 1;
    }

    fn evict(&mut self, at: usize) {
        let all = self.hosts.len();
        let host = &mut self.hosts[at];
        while host.cached_bytes > self.cache_bytes {
            let (used, layer) = host.order.pop_front().expect("cached bytes belong to a layer in the order");
            let cell = &mut self.cells[layer as usize * all + at];
            if cell.used == used {
                cell.used = 0;
                host.cached_bytes -= self.layer_bytes[layer as usize];
                host.layers -= 1;
            }
        }
        // Void entries are dropped once they are most of the order, which costs nothing on average.
        if host.order.len() > 4 * host.layers + 64 {
            host.order.retain(|&(used, layer)| self.cells[layer as usize * all + at].used == used);
        }
    }
}
