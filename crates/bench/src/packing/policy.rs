//! The policies that are compared. To add one, write its file and add its line to [`POLICIES`].

mod best_fit;
mod dot_prod;
mod fgd;
mod gantry;
mod gpu_clustering;
mod gpu_packing;
mod random;

use super::{
    fleet::Room,
    trace::{Pod, Trace},
};

/// A way to choose a node, by its name in tables.
#[derive(Debug)]
pub struct Policy {
    pub name: &'static str,
    /// Over idle nodes in the order in which ties are broken.
    pub start: fn(&Trace, &[Room], u64) -> Box<dyn Choose>,
}

/// A policy at work.
pub trait Choose {
    /// A node on which the pod fits, with its devices.
    fn choose(&mut self, rooms: &[Room], pod: &Pod) -> Option<Chosen>;

    /// A pod that was chosen for is placed.
    fn placed(&mut self, _node: usize, _before: &Room, _after: &Room) {}
}

#[derive(Clone, Debug)]
pub struct Chosen {
    pub node: usize,
    pub devices: Vec<usize>,
}

/// Ours first.
pub static POLICIES: &[Policy] = &[
    gantry::POLICY,
    fgd::POLICY,
    best_fit::POLICY,
    gpu_packing::POLICY,
    gpu_clustering::POLICY,
    dot_prod::POLICY,
    random::POLICY,
];

/// What the scores of nodes are made of.
type Score = fn(&Room, &Pod) -> i64;

/// A policy that scores each node by itself and takes the fullest devices.
struct ByScore(Score);

impl Choose for ByScore {
    fn choose(&mut self, rooms: &[Room], pod: &Pod) -> Option<Chosen> {
        let node = super::experiment::highest(rooms, pod, |room| (self.0)(room, pod))?;
        Some(Chosen { node, devices: rooms[node].fullest(pod) })
    }
}
