//! How far an image's layers are on a host.

use gantry_fleet::{HeldLayer, Host, ImageEntry};
use gantry_types::{LayerId, LayerState};

use super::run::{Coming, Held, Need};

/// Finds layers among those that a host holds, sorted by layer.
struct Finder<'a> {
    held: &'a [HeldLayer],
    /// Where the last one was, or would be: the layers of a chain mostly have numbers that follow each other.
    at: usize,
}

impl Finder<'_> {
    #[inline]
    fn find(&mut self, layer: LayerId) -> Held {
        let is_place = |at: usize| {
            let comes_after = at == 0 || self.held.get(at - 1).is_some_and(|held| held.layer < layer);
            comes_after && self.held.get(at).is_none_or(|held| held.layer >= layer)
        };
        self.at = match self.at {
            at if is_place(at) => at,
            at if is_place(at + 1) => at + 1,
            _ => self.held.partition_point(|held| held.layer < layer),
        };
        match self.held.get(self.at).filter(|held| held.layer == layer).map(|held| held.state) {
            Some(LayerState::Unpacked) => Held::Unpacked,
            Some(LayerState::Blob) => Held::Blob,
            // What is being fetched is in the queue.
            Some(LayerState::Pulling) | None => Held::Missing,
        }
    }
}

/// The layers of an image in chain order, with what the host has of each. `coming` is sorted by layer.
#[inline]
pub(super) fn needs<'a>(
    host: &'a Host,
    image: &'a ImageEntry,
    coming: &'a [(LayerId, Coming)],
) -> impl Iterator<Item = Need> + 'a {
    let mut finder = Finder { held: host.layers(), at: 0 };
    image.chain.iter().map(move |&gantry_fleet::ImageLayer { layer, size_bytes }| {
        let at = coming.binary_search_by_key(&layer, |(layer, _)| *layer);
        Need { layer, size_bytes, held: finder.find(layer), coming: at.ok().map(|at| coming[at].1) }
    })
}
