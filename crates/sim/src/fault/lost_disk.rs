//! A node's disk is gone. Another node takes its place; before that it may have been started with an empty one, under its old
//! name, as by an operator who does not know better.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, disk::End, world::World};

pub(super) const FAULT: Fault = Fault { name: "lost disk", begin };

/// So much is applied everywhere once the first members have found each other.
const FOUNDED: u64 = 60;

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let (forgets, pause, mislead) = (chance.permille(500), chance.ms(10, 1_000), chance.ms(300, 2_500));
    let is_founded = world.running(id).is_some_and(|running| running.consensus.state().read().rev() > FOUNDED);
    if !is_founded || !world.break_one(id) {
        return;
    }
    world.end(id, End::PowerCut);
    world.trace.line(format!("the disk of node {id} is gone"));
    let world = Arc::clone(world);
    tokio::spawn(async move {
        sleep(pause).await;
        if forgets {
            world.empty(id);
            world.start(id).await;
            sleep(mislead).await;
        }
        world.lose(id);
    });
}
