//! A sync fails: the process ends, and is started again on what is durable.

use std::sync::Arc;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, world::World};

pub(super) const FAULT: Fault = Fault { name: "failing sync", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let after = chance.below(20);
    world.disk(id).fail_sync_after(after);
    world.trace.line(format!("node {id}: the sync after {after} more fails"));
}
