//! The clock of a node jumps. It stays far below the time for which request ids are remembered.

use std::sync::Arc;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, world::World};

pub(super) const FAULT: Fault = Fault { name: "clock", begin };

const MOST_MS: u64 = 15_000;

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let skew_ms = chance.below(2 * MOST_MS) as i64 - MOST_MS as i64;
    world.set_skew(id, skew_ms);
    world.trace.line(format!("node {id}: the clock is off by {skew_ms} ms"));
}
