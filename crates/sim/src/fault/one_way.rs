//! A node is heard and hears nothing, or the other way round.

use std::sync::Arc;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, world::World};

pub(super) const FAULT: Fault = Fault { name: "one way", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let is_mute = chance.permille(500);
    for other in world.ids().into_iter().filter(|other| *other != id) {
        let (from, to) = if is_mute { (id, other) } else { (other, id) };
        world.net.cut(from, to);
    }
    world.trace.line(format!("node {id} is {}", if is_mute { "mute" } else { "deaf" }));
    world.mend_after(chance.ms(300, 4_000));
}
