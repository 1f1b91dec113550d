//! Which layers lie on the host, how far each is, and what the cluster must be told to know as much.

use std::collections::BTreeMap;

use gantry_proto::convert::{LayerReport, PresentLayer};
use gantry_types::{Digest, LayerState, limits};

use crate::store::{Contents, Namespace};

/// Layers by digest.
pub(crate) type Layers = BTreeMap<Digest, Held>;

/// A layer on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Compressed.
    pub size_bytes: u64,
    pub state: LayerState,
    /// Only of one that is being pulled.
    pub fetched_bytes: Option<u64>,
    pub diff_id: Option<Digest>,
}

/// How far a pull must get, in parts of the layer, to be told again: the cluster reckons with the host's rates meanwhile.
const PROGRESS_PARTS: u64 = 8;

/// The layers of a store, over all of its namespaces: each as far as it is where it is furthest. Beyond
/// [`limits::LAYERS_PER_HOST`] those that cost the most to get are kept.
pub(crate) fn layers(contents: &Contents) -> Layers {
    let mut layers = Layers::new();
    for namespace in contents.values() {
        pulling(namespace, &mut layers);
        blobs(namespace, &mut layers);
        images(namespace, &mut layers);
    }
    within_limit(&mut layers);
    layers
}

/// Drops those beyond the limit that cost the least to get.
pub(crate) fn within_limit(layers: &mut Layers) {
    if layers.len() > limits::LAYERS_PER_HOST {
        let mut order: Vec<(LayerState, u64, Digest)> =
            layers.iter().map(|(digest, held)| (held.state, held.size_bytes, *digest)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (.., digest) in &order[limits::LAYERS_PER_HOST..] {
            layers.remove(digest);
        }
    }
}

/// What is on its way. Of a layer whose size nobody said nothing can be told.
fn pulling(namespace: &Namespace, layers: &mut Layers) {
    let sizes: BTreeMap<Digest, u64> = namespace
        .manifests
        .values()
        .flat_map(|manifest| &manifest.layers)
        .map(|layer| (layer.digest, layer.size_bytes))
        .collect();
    for ingest in &namespace.ingests {
        let said = (ingest.total_bytes > 0).then(|| ingest.total_bytes.min(limits::LAYER_BYTES));
        let Some(size_bytes) = sizes.get(&ingest.digest).copied().or(said) else { continue };
        let fetched_bytes = Some(ingest.fetched_bytes.min(size_bytes));
        put(layers, ingest.digest, Held { size_bytes, state: LayerState::Pulling, fetched_bytes, diff_id: None });
    }
}

/// Blobs that are layers whether or not a manifest names them.
fn blobs(namespace: &Namespace, layers: &mut Layers) {
    for (digest, blob) in namespace.blobs.iter().filter(|(_, blob)| blob.is_layer || blob.diff_id.is_some()) {
        let size_bytes = blob.size_bytes.min(limits::LAYER_BYTES);
        let held = Held { size_bytes, state: LayerState::Blob, fetched_bytes: None, diff_id: blob.diff_id };
        put(layers, *digest, held);
    }
}

fn images(namespace: &Namespace, layers: &mut Layers) {
    for layer in namespace.manifests.values().flat_map(|manifest| &manifest.layers) {
        let is_unpacked = layer.content.is_some_and(|content| namespace.chains.contains_key(&content.chain));
        let state = match namespace.blobs.contains_key(&layer.digest) {
            _ if is_unpacked => LayerState::Unpacked,
            true => LayerState::Blob,
            false => continue,
        };
        let diff_id = layer.content.map(|content| content.diff_id);
        put(layers, layer.digest, Held { size_bytes: layer.size_bytes, state, fetched_bytes: None, diff_id });
    }
}

/// A layer that is there already stays as far as it is.
pub(crate) fn put(layers: &mut Layers, digest: Digest, held: Held) {
    let known = layers.entry(digest).or_insert(held);
    let diff_id = known.diff_id.or(held.diff_id);
    if held.state > known.state {
        *known = held;
    }
    known.diff_id = diff_id;
}

/// The next report, and what the cluster knows after it; nothing where it knows enough. `told` is what it knows, absent where
/// that is not known: then the report is a full one. Reports hold at most [`limits::LAYERS_PER_REPORT`] layers, so that more
/// may have to follow.
pub(crate) fn next_report(told: Option<&Layers>, now: &Layers) -> Option<(LayerReport, Layers)> {
    let present = |(digest, held): (&Digest, &Held)| PresentLayer {
        digest: *digest,
        size_bytes: held.size_bytes,
        state: held.state,
        fetched_bytes: held.fetched_bytes,
        diff_id: held.diff_id,
    };
    let Some(told) = told else {
        let first: Layers = now.iter().take(limits::LAYERS_PER_REPORT).map(|(digest, held)| (*digest, *held)).collect();
        let present = first.iter().map(present).collect();
        return Some((LayerReport { full: true, present, gone: Vec::new() }, first));
    };
    let gone: Vec<Digest> =
        told.keys().filter(|digest| !now.contains_key(*digest)).take(limits::LAYERS_PER_REPORT).copied().collect();
    let changed = now.iter().filter(|(digest, held)| told.get(digest).is_none_or(|known| is_news(known, held)));
    let changed: Vec<(&Digest, &Held)> = changed.take(limits::LAYERS_PER_REPORT - gone.len()).collect();
    if gone.is_empty() && changed.is_empty() {
        return None;
    }
    let mut after = told.clone();
    for digest in &gone {
        after.remove(digest);
    }
    after.extend(changed.iter().map(|(digest, held)| (**digest, **held)));
    Some((LayerReport { full: false, present: changed.into_iter().map(present).collect(), gone }, after))
}

fn is_news(known: &Held, now: &Held) -> bool {
    let with_progress_of = |fetched_bytes| Held { fetched_bytes, ..*now };
    if *known != with_progress_of(known.fetched_bytes) {
        return true;
    }
    match (known.fetched_bytes, now.fetched_bytes) {
        (Some(known), Some(fetched)) => known.abs_diff(fetched) > now.size_bytes / PROGRESS_PARTS,
        (known, fetched) => known != fetched,
    }
}

#[cfg(test)]
mod tests;
