//! Disk for a new volume.

use super::{Constraint, No, Quantity};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "volume_disk", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some((_, size_bytes)) = ask.volume else { return Ok(()) };
    let free = room.host.offer.volume_bytes.saturating_sub(room.usage.volume_bytes);
    if size_bytes <= free {
        return Ok(());
    }
    Err(No::short(size_bytes, free, Quantity::Bytes))
}
