//! What a container runtime's store holds, as it was read at one moment.

use std::{collections::BTreeMap, sync::Arc};

use gantry_types::Digest;

/// Nanoseconds since 1970, by the host's clock.
pub(crate) type Nanos = u64;

/// The parts of a store that do not know each other, by name.
pub(crate) type Contents = BTreeMap<String, Namespace>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// Names as users write them, and the manifest or index that each stands for.
    pub images: BTreeMap<String, Digest>,
    /// Indexes in the store: manifests and their platforms, attestations left out.
    pub indexes: BTreeMap<Digest, Vec<(Digest, String)>>,
    /// Manifests of images that are in the store, whether or not a name leads to them.
    pub manifests: BTreeMap<Digest, Arc<Manifest>>,
    /// Everything by digest, documents included.
    pub blobs: BTreeMap<Digest, Blob>,
    /// What is being written.
    pub ingests: Vec<Ingest>,
    /// Unpacked stacks of layers, by chain, with when they were done.
    pub chains: BTreeMap<Digest, Nanos>,
    /// When unpacking a layer onto its stack began, by chain; of some of those that are done, too.
    pub unpacking: BTreeMap<Digest, Nanos>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blob {
    pub size_bytes: u64,
    pub created: Nanos,
    /// Known once it was unpacked.
    pub diff_id: Option<Digest>,
    /// By its first bytes it is a layer; of those that a manifest names it need not be known.
    pub is_layer: bool,
    /// From a registry, and not from a file on the host.
    pub is_pulled: bool,
}

/// A blob on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ingest {
    pub digest: Digest,
    pub fetched_bytes: u64,
    /// 0 where it is not known to be a layer, or the writer did not say.
    pub total_bytes: u64,
    pub started: Nanos,
}

/// A manifest with its config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Empty while the config is not there.
    pub platform: String,
    /// Base layer first.
    pub layers: Vec<Layer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub digest: Digest,
    /// Compressed.
    pub size_bytes: u64,
    /// Absent while the config is not there.
    pub content: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub diff_id: Digest,
    /// This layer and all below it.
    pub chain: Digest,
}

impl Namespace {
    /// The manifest that a name stands for on a platform, if it is in the store.
    pub(crate) fn manifest_of(&self, target: &Digest, platform: &str) -> Option<(Digest, &Manifest)> {
        if let Some(manifest) = self.manifests.get(target) {
            return Some((*target, manifest));
        }
        let of_index = self.indexes.get(target)?.iter();
        let mut present = of_index.filter_map(|(digest, at)| Some((*digest, at, &**self.manifests.get(digest)?)));
        let fits = |at: &str| at == platform || at.strip_prefix(platform).is_some_and(|rest| rest.starts_with('/'));
        present
            .find(|(_, at, manifest)| fits(if at.is_empty() { &manifest.platform } else { at }))
            .map(|(digest, _, manifest)| (digest, manifest))
    }
}
