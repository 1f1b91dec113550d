//! The leader hands over, as before a planned restart. That is no fault, and goes wrong beside one.

use std::sync::Arc;

use super::Fault;
use crate::{chance::Chance, world::World};

pub(super) const FAULT: Fault = Fault { name: "handover", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let ids = world.ids();
    let to = chance.permille(500).then(|| chance.pick(&ids).copied()).flatten();
    let Some(running) = world.leader().and_then(|id| world.running(id)) else { return };
    let world = Arc::clone(world);
    tokio::spawn(async move {
        let id = running.consensus.member().id;
        world.trace.line(format!("node {id} hands over to {to:?}"));
        let handed = running.consensus.hand_over(to).await;
        world.trace.line(format!("node {id} handed over: {handed:?}"));
    });
}
