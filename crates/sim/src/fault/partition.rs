//! The nodes fall into two groups that cannot reach each other.

use std::sync::Arc;

use super::Fault;
use crate::{chance::Chance, world::World};

pub(super) const FAULT: Fault = Fault { name: "partition", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let mut ids = world.ids();
    chance.shuffle(&mut ids);
    let at = 1 + chance.below(ids.len() as u64 - 1) as usize;
    let (left, right) = ids.split_at(at);
    for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b))) {
        world.net.cut(a, b);
        world.net.cut(b, a);
    }
    world.trace.line(format!("partition: {left:?} and {right:?}"));
    world.mend_after(chance.ms(300, 4_000));
}
