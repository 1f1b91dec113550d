//! CPU of the asked kind; shared CPU with the host's declared overcommit.

use gantry_types::CpuKind;

use super::{Constraint, No, Quantity};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "cpu", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some(shape) = ask.shape else { return Ok(()) };
    let (spec, usage) = (&room.host.offer, room.usage);
    let free = match shape.cpu_kind() {
        CpuKind::Shared => spec.cpu_shared_promisable_milli().saturating_sub(usage.cpu_shared_milli),
        CpuKind::Performance => spec.cpu_performance_milli.saturating_sub(usage.cpu_performance_milli),
    };
    if shape.cpu_milli <= free {
        return Ok(());
    }
    Err(No::short(shape.cpu_milli, free, Quantity::CpuMilli))
}
