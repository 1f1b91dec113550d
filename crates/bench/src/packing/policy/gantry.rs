//! Ours: the cost that the planner's outlook puts on each node.

use std::collections::{BTreeMap, BTreeSet};

use gantry_placement::outlook::{Bin, Demand, Mix, Outlook, Slot};

use super::{Choose, Chosen, Policy};
use crate::packing::{
    fleet::Room,
    trace::{Pod, Trace},
};

pub(super) const POLICY: Policy =
    Policy { name: "gantry", start: |trace, rooms, _| Box::new(Gantry::new(trace, rooms)) };

struct Gantry {
    outlook: Outlook,
    n: u32,
    /// Nodes that offer the same are looked at once; the first of them is chosen.
    nodes: BTreeMap<Bin, BTreeSet<usize>>,
}

impl Gantry {
    fn new(trace: &Trace, rooms: &[Room]) -> Self {
        let mut mix = Mix::of_kinds(trace.models.iter().map(String::as_str));
        mix.learn(trace.pods.iter().map(|pod| (demand(pod), 1)).collect());
        let mut nodes: BTreeMap<Bin, BTreeSet<usize>> = BTreeMap::new();
        for (at, room) in rooms.iter().enumerate() {
            nodes.entry(bin(room)).or_default().insert(at);
        }
        let bins: Vec<Bin> = rooms.iter().map(bin).collect();
        Self { n: 0, outlook: Outlook::new(mix, bins.iter()), nodes }
    }
}

fn bin(room: &Room) -> Bin {
    let slots = room.free_milli.iter().map(|&free_milli| Slot { kind: room.model, free_milli });
    Bin::new(room.cpu_milli, room.memory_mib, slots)
}

fn demand(pod: &Pod) -> Demand {
    Demand {
        cpu_milli: pod.cpu_milli,
        memory_mib: pod.memory_mib,
        devices: pod.gpus,
        milli: pod.gpu_milli,
        kinds: pod.models,
    }
}

impl Choose for Gantry {
    fn choose(&mut self, rooms: &[Room], pod: &Pod) -> Option<Chosen> {
        let demand = demand(pod);
        let mut best: Option<(i64, usize, Option<u16>)> = None;
        for (bin, nodes) in &self.nodes {
            let (Some(&first), Some(fit)) = (nodes.first(), self.outlook.fit(bin, &demand)) else { continue };
            if best.is_none_or(|(cost, at, _)| (fit.cost, first) < (cost, at)) {
                best = Some((fit.cost, first, fit.device.map(|slot| slot.free_milli)));
            }
        }
        let (_, node, device_free_milli) = best?;
        let room = &rooms[node];
        let devices = match device_free_milli {
            Some(free) => room.free_milli.iter().position(|&f| f == free).into_iter().collect(),
            None => room.fullest(pod),
        };
        Some(Chosen { node, devices })
    }

    fn placed(&mut self, node: usize, before: &Room, after: &Room) {
        let (before, after) = (bin(before), bin(after));
        self.outlook.changed(&before, &after);
        self.n += 1;
        if self.n % 300 == 0 {
            self.outlook.reprice();
        }
        if let Some(nodes) = self.nodes.get_mut(&before) {
            nodes.remove(&node);
            if nodes.is_empty() {
                self.nodes.remove(&before);
            }
        }
        self.nodes.entry(after).or_default().insert(node);
    }
}
