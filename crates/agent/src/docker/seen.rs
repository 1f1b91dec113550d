//! What an engine's layers are to the cluster, beside those of a containerd.

use std::collections::BTreeMap;

use gantry_types::{Digest, LayerState};

use super::{answer::Layer, digests::Known};
use crate::{
    layers::{Held, Layers, put, within_limit},
    view::View,
};

/// Layers that lie unpacked at an engine, by their content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<Digest, Unpacked>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unpacked {
    blob: Option<Digest>,
    /// Unpacked.
    size_bytes: u64,
}

/// All that lies on the host, and how many layers of it have a digest of their own making.
pub(crate) struct Merged {
    pub view: View,
    pub nameless: usize,
}

impl Seen {
    pub(super) fn of(layers: impl Iterator<Item = (Layer, Known)>) -> Self {
        let unpacked = |(layer, known): (Layer, Known)| {
            let size_bytes = known.unpacked_bytes.unwrap_or(layer.about_bytes);
            (layer.diff_id, Unpacked { blob: known.blob, size_bytes })
        };
        Self(layers.map(unpacked).collect())
    }
}

/// What both know, each layer as far as it is where it is furthest. What containerd knows of blobs holds for an engine's
/// layers, too: which one a content has, and how large it is compressed. Of images only containerd tells, as an engine does
/// not keep their manifests.
pub(crate) fn merged(containerd: Option<&View>, docker: Option<&Seen>) -> Merged {
    let mut view = containerd.cloned().unwrap_or_default();
    let Some(Seen(unpacked)) = docker else { return Merged { view, nameless: 0 } };
    let blobs = blobs(&view);
    let mut nameless = 0;
    for (diff_id, layer) in unpacked {
        let by_content = blobs.by_content.get(diff_id).copied();
        let digest = layer.blob.or(by_content);
        nameless += usize::from(digest.is_none());
        // The plain tar archive of the content has its digest.
        let digest = digest.unwrap_or(*diff_id);
        let size_bytes = blobs.sizes.get(&digest).copied().unwrap_or(layer.size_bytes);
        let held = Held { size_bytes, state: LayerState::Unpacked, fetched_bytes: None, diff_id: Some(*diff_id) };
        put(&mut view.layers, digest, held);
    }
    within_limit(&mut view.layers);
    Merged { view, nameless }
}

/// What a view says of blobs: of layers that lie there, and of those that its images name.
#[derive(Default)]
struct Blobs {
    by_content: BTreeMap<Digest, Digest>,
    sizes: BTreeMap<Digest, u64>,
}

fn blobs(view: &View) -> Blobs {
    let mut blobs = Blobs::default();
    let digest = |bytes: &[u8]| Digest::from_bytes("digest", bytes).ok();
    for layer in view.images.values().flat_map(|image| &image.layers) {
        let Some(blob) = digest(&layer.digest) else { continue };
        blobs.sizes.insert(blob, layer.size_bytes);
        blobs.by_content.extend(digest(&layer.diff_id).map(|diff_id| (diff_id, blob)));
    }
    let held: &Layers = &view.layers;
    for (blob, held) in held {
        blobs.sizes.insert(*blob, held.size_bytes);
        blobs.by_content.extend(held.diff_id.map(|diff_id| (diff_id, *blob)));
    }
    blobs
}

#[cfg(test)]
mod tests {
    use gantry_types::Image;

    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn seen(layers: &[(u8, Option<u8>)]) -> Seen {
        let layer = |&(content, blob): &(u8, Option<u8>)| {
            let layer = Layer { diff_id: digest(content), chain: digest(content), about_bytes: 50 };
            (layer, Known { blob: blob.map(digest), unpacked_bytes: Some(100) })
        };
        Seen::of(layers.iter().map(layer))
    }

    fn view(layers: &[(u8, u8, LayerState)]) -> View {
        let held = |state, content| Held { size_bytes: 10, state, fetched_bytes: None, diff_id: Some(digest(content)) };
        let layers = layers.iter().map(|&(blob, content, state)| (digest(blob), held(state, content)));
        View { layers: layers.collect(), images: BTreeMap::new() }
    }

    fn told(merged: &Merged) -> Vec<(u8, LayerState, u64)> {
        let of = |(digest, held): (&Digest, &Held)| (digest.0[0], held.state, held.size_bytes);
        merged.view.layers.iter().map(of).collect()
    }

    #[test]
    fn a_layer_is_as_far_as_the_furthest_source_says() {
        use LayerState::{Blob, Pulling, Unpacked};
        let view = view(&[(1, 101, Blob), (2, 102, Unpacked), (3, 103, Pulling)]);
        let both = merged(Some(&view), Some(&seen(&[(101, Some(1)), (104, Some(4))])));
        assert_eq!(told(&both), [(1, Unpacked, 10), (2, Unpacked, 10), (3, Pulling, 10), (4, Unpacked, 100)]);
        assert_eq!(both.nameless, 0);
        assert_eq!(merged(Some(&view), None).view, view);
        assert_eq!(told(&merged(None, Some(&seen(&[(101, Some(1))])))), [(1, Unpacked, 100)]);
    }

    #[test]
    fn a_layer_whose_blob_nobody_knows_is_the_archive_of_its_content() {
        let alone = merged(None, Some(&seen(&[(101, None)])));
        assert_eq!((told(&alone), alone.nameless), (vec![(101, LayerState::Unpacked, 100)], 1));
        assert_eq!(alone.view.layers[&digest(101)].diff_id, Some(digest(101)));
        // What containerd has of the same content names it.
        let known = merged(Some(&view(&[(1, 101, LayerState::Blob)])), Some(&seen(&[(101, None)])));
        assert_eq!((told(&known), known.nameless), (vec![(1, LayerState::Unpacked, 10)], 0));
        let layer = gantry_types::Layer { digest: vec![7; 32], size_bytes: 20, diff_id: vec![101; 32] };
        let image = Image { layers: vec![layer], ..Image::default() };
        let named = View { layers: Layers::new(), images: [("app:1".to_owned(), image)].into() };
        assert_eq!(told(&merged(Some(&named), Some(&seen(&[(101, None)])))), [(7, LayerState::Unpacked, 20)]);
    }
}
