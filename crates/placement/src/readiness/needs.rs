//! How far an image's layers are on a host.

use gantry_fleet::{Fleet, HeldLayer, Host, ImageEntry, ImageLayer};
use gantry_types::{LayerId, LayerState};

use super::run::{Coming, Need};

/// Finds layers among those that a host holds, sorted by layer.
struct Finder<'a> {
    held: &'a [HeldLayer],
    /// Where the last one was, or would be: the layers of a chain mostly have numbers that follow each other.
    at: usize,
}

impl Finder<'_> {
    #[inline]
    fn find(&mut self, layer: LayerId) -> Option<LayerState> {
        let is_place = |at: usize| {
            let comes_after = at == 0 || self.held.get(at - 1).is_some_and(|held| held.layer < layer);
            comes_after && self.held.get(at).is_none_or(|held| held.layer >= layer)
        };
        self.at = match self.at {
            at if is_place(at) => at,
            at if is_place(at + 1) => at + 1,
            _ => self.held.partition_point(|held| held.layer < layer),
        };
        self.held.get(self.at).filter(|held| held.layer == layer).map(|held| held.state)
    }
}

/// The layers of an image in chain order, with what the host has of each. `coming` is sorted by layer.
#[inline]
pub(super) fn needs<'a>(
    fleet: &'a Fleet,
    host: &'a Host,
    image: &'a ImageEntry,
    coming: &'a [(LayerId, Coming)],
) -> impl Iterator<Item = Need> + 'a {
    let mut finder = Finder { held: host.layers(), at: 0 };
    image.chain.iter().map(move |&ImageLayer { layer, size_bytes }| {
        let state = finder.find(layer);
        let is_unpacked =
            state == Some(LayerState::Unpacked) || fleet.twins(layer).iter().any(|&twin| has_unpacked(host, twin));
        let at = coming.binary_search_by_key(&layer, |(layer, _)| *layer);
        Need {
            layer,
            size_bytes,
            // What is being fetched is in the queue.
            is_there: state.is_some_and(|state| state != LayerState::Pulling),
            is_unpacked,
            coming: at.ok().map(|at| coming[at].1),
        }
    })
}

fn has_unpacked(host: &Host, layer: LayerId) -> bool {
    let held = host.layers();
    let at = held.binary_search_by_key(&layer, |held| held.layer);
    at.is_ok_and(|at| held[at].state == LayerState::Unpacked)
}
