//! Disk for the image: its layers fit into the host's cache beside those of the images of the machines there, which
//! cannot be evicted. Counts what is known, which are compressed sizes: the unpacked image takes more. So a host that is
//! refused could not take the image, and what a host is refused for is advice to the planner that apply does not enforce.

use gantry_fleet::ImageLayer;
use smallvec::SmallVec;

use super::{ADVICE, Constraint, No, Quantity};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint =
    Constraint { name: "image_cache", since_level: ADVICE, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some(image) = ask.image else { return Ok(()) };
    let cache_bytes = room.host.offer.cache_bytes;
    // A host that declares no cache says nothing of it.
    if cache_bytes == 0 {
        return Ok(());
    }
    // Nearly always all of it fits, even if no two images had a layer in common.
    let at_most = room.images_in_use().fold(image.size_bytes, |sum, used| sum.saturating_add(used.size_bytes));
    if at_most <= cache_bytes {
        return Ok(());
    }
    let mut kept: SmallVec<[ImageLayer; 64]> =
        room.images_in_use().flat_map(|used| used.layers.iter().copied()).collect();
    kept.sort_unstable_by_key(|layer| (layer.layer, layer.size_bytes));
    kept.dedup_by_key(|layer| layer.layer);
    let is_new = |layer: &&ImageLayer| kept.binary_search_by_key(&layer.layer, |held| held.layer).is_err();
    let new_bytes = image.layers.iter().filter(is_new).map(|layer| layer.size_bytes).sum();
    let kept_bytes = kept.iter().map(|layer| layer.size_bytes).sum();
    let free = cache_bytes.saturating_sub(kept_bytes);
    if new_bytes <= free {
        return Ok(());
    }
    Err(No::short(new_bytes, free, Quantity::Bytes))
}
