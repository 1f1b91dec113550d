//! A disk fills up, is full for a while, and has room again.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Fault, some_node, some_node_or_leader};
use crate::{chance::Chance, disk::Room, world::World};

pub(super) const FAULT: Fault = Fault { name: "full disk", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let mut ids = vec![some_node_or_leader(world, chance)];
    if chance.permille(200) {
        // With another one, it may be that too few have room.
        ids.push(some_node(world, chance));
    }
    let (low, full) = (chance.ms(200, 2_000), chance.ms(100, 1_500));
    let fills_up = chance.permille(500);
    let world = Arc::clone(world);
    tokio::spawn(async move {
        let set = |room| {
            if world.is_healed() {
                return;
            }
            ids.iter().for_each(|id| world.disk(*id).set_room(room));
            world.trace.line(format!("the disks of {ids:?}: room is {room:?}"));
        };
        set(Room::Low);
        sleep(low).await;
        if fills_up {
            set(Room::None);
            sleep(full).await;
        }
        set(Room::Enough);
    });
}
