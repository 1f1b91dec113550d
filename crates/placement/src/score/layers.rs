//! Bytes of the image that already lie on the host, or are on their way to it.

use gantry_fleet::{Host, ImageEntry};

use super::Term;

pub(super) const TERM: Term = Term {
    name: "layers",
    value: |_, _, present_bytes| present_bytes as i64,
    at_best: |_, present_bytes| present_bytes as i64,
    at_best_with: |_, present_bytes, _| present_bytes as i64,
};

/// Compressed bytes of the image's layers that the host has in any state. Both lists are sorted by layer.
pub fn present_bytes(image: Option<&ImageEntry>, host: &Host) -> u64 {
    let Some(image) = image else { return 0 };
    let mut held = host.layers();
    let mut bytes = 0;
    for layer in image.layers.iter() {
        // Images have few layers and hosts many: search, and go on behind what was found.
        match held.binary_search_by_key(&layer.layer, |h| h.layer) {
            Ok(at) => {
                bytes += layer.size_bytes;
                held = &held[at + 1..];
            }
            Err(at) => held = &held[at..],
        }
    }
    bytes
}
