//! A disk takes long to sync, or hangs.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Fault, some_node_or_leader};
use crate::{chance::Chance, world::World};

pub(super) const FAULT: Fault = Fault { name: "slow disk", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let id = some_node_or_leader(world, chance);
    let hangs = chance.permille(250);
    let (lasts, takes) = if hangs {
        (Duration::from_millis(100), chance.ms(1_000, 4_000))
    } else {
        (chance.ms(500, 4_000), chance.ms(20, 400))
    };
    world.disk(id).be_slow(Instant::now() + lasts, takes);
    world.trace.line(format!("node {id}: a sync takes up to {} ms", takes.as_millis()));
}
