//! The power of a node fails while it writes something: between the steps of a start, an installation, a cut of the log.

use std::sync::Arc;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, world::World};

pub(super) const FAULT: Fault = Fault { name: "cut in the middle", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let after = chance.below(100);
    world.disk(id).cut_power_after(after);
    world.trace.line(format!("node {id}: the power fails after {after} more changes of its disk"));
}
