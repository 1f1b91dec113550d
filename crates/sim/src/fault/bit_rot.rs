//! A bit that lies on a disk for a while turns round. It is found by whoever reads it: at a restart, or by a walk over the data.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, disk::End, world::World};

pub(super) const FAULT: Fault = Fault { name: "bit rot", begin };

/// Until it is found a second disk must not rot: that is more than a cluster of three bears.
const FOUND_MS: (u64, u64) = (8_000, 9_000);

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let (restarts, pause, found) = (chance.permille(500), chance.ms(50, 500), chance.ms(FOUND_MS.0, FOUND_MS.1));
    if world.running(id).is_none() || !world.break_one(id) {
        return;
    }
    let Some(what) = world.disk(id).rot() else { return world.is_whole_again(id) };
    world.trace.line(format!("a bit of node {id} has turned round: {what}"));
    let world = Arc::clone(world);
    tokio::spawn(async move {
        if !restarts {
            sleep(found).await;
        }
        // Where nobody has come by it, a restart does.
        if world.running(id).is_some() {
            world.end(id, End::Killed);
            sleep(pause).await;
            world.start(id).await;
        }
        if world.running(id).is_some() {
            // It was written over meanwhile, or lay where nothing depends on it.
            world.trace.line(format!("node {id} runs on without it"));
            world.is_whole_again(id);
        }
    });
}
