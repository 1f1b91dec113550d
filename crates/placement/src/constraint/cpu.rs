//! CPU of the asked kind; shared CPU with the host's declared overcommit.

use super::{Constraint, No, Quantity};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "cpu", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some(shape) = ask.shape else { return Ok(()) };
    let free = room.free_cpu_milli(shape.cpu_kind());
    if shape.cpu_milli <= free {
        return Ok(());
    }
    Err(No::short(shape.cpu_milli, free, Quantity::CpuMilli))
}
