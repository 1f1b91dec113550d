//! What goes wrong. One file each; the list is [`FAULTS`], and each scenario says which of them it has.

mod bit_rot;
mod clock;
mod crash;
mod cut_in_the_middle;
mod failing_sync;
mod full_disk;
mod handover;
mod lost_disk;
mod one_way;
mod partition;
mod power_cut;
mod slow_disk;
mod weather;

use std::sync::Arc;

use crate::{chance::Chance, world::World};

/// Something that goes wrong, and is well again after a while by itself.
#[derive(Debug)]
pub struct Fault {
    pub name: &'static str,
    /// Makes it begin. Returns at once.
    pub begin: fn(&Arc<World>, &mut Chance),
}

pub static FAULTS: &[Fault] = &[
    crash::FAULT,
    power_cut::FAULT,
    cut_in_the_middle::FAULT,
    lost_disk::FAULT,
    bit_rot::FAULT,
    partition::FAULT,
    one_way::FAULT,
    weather::FAULT,
    slow_disk::FAULT,
    failing_sync::FAULT,
    full_disk::FAULT,
    clock::FAULT,
    handover::FAULT,
];

/// The fault of that name.
pub fn named(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

/// Any node.
fn some_node(world: &World, chance: &mut Chance) -> u64 {
    chance.pick(&world.ids()).copied().unwrap_or(1)
}

/// The leader half of the time, where there is one: what befalls it tells more.
fn some_node_or_leader(world: &World, chance: &mut Chance) -> u64 {
    let any = some_node(world, chance);
    let leads = chance.permille(500);
    world.leader().filter(|_| leads).unwrap_or(any)
}
