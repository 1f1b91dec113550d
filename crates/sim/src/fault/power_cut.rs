//! The power fails: for one node, for some, or for all at once.

use std::sync::Arc;

use super::Fault;
use crate::{chance::Chance, disk::End, world::World};

pub(super) const FAULT: Fault = Fault { name: "power cut", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let mut ids = world.ids();
    chance.shuffle(&mut ids);
    let hit = match chance.below(4) {
        0 | 1 => 1,
        2 => ids.len() / 2 + 1,
        _ => ids.len(),
    };
    for id in ids.into_iter().take(hit) {
        let pause = chance.ms(50, 2_000);
        if world.running(id).is_some() {
            world.end(id, End::PowerCut);
            world.start_after(id, pause);
        }
    }
}
