//! A process is killed and started again.

use std::sync::Arc;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, disk::End, world::World};

pub(super) const FAULT: Fault = Fault { name: "crash", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let pause = chance.ms(50, 3_000);
    if world.running(id).is_some() {
        world.end(id, End::Killed);
        world.start_after(id, pause);
    }
}
