//! A new volume goes where the most disk is left for those that come after.

use super::Term;
use crate::{Ask, Room};

pub(super) const TERM: Term =
    Term { name: "disk", value, at_best: |ask, _| most(ask), at_best_with: |ask, _, _| most(ask) };

fn most(ask: &Ask<'_>) -> i64 {
    if ask.volume.is_some() { i64::MAX } else { 0 }
}

fn value(ask: &Ask<'_>, room: &Room<'_>, _: u64) -> i64 {
    let Some((_, size_bytes)) = ask.volume else { return 0 };
    let free = room.host.offer.volume_bytes.saturating_sub(room.usage.volume_bytes);
    free.saturating_sub(size_bytes) as i64
}
