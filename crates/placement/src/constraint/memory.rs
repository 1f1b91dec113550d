//! Memory.

use super::{Constraint, No, Quantity};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "memory", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some(shape) = ask.shape else { return Ok(()) };
    let free = room.free_memory_bytes();
    if shape.memory_bytes <= free {
        return Ok(());
    }
    Err(No::short(shape.memory_bytes, free, Quantity::Bytes))
}
