//! What a reference stands for.

use gantry_types::{Digest, Image};

use crate::{Platform, Reference, document::Compression};

/// An image on one platform. It fits into an [`Image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub reference: Reference,
    /// Of the platform's manifest.
    pub digest: Digest,
    /// Of the index that the reference names, where it names one.
    pub index: Option<Digest>,
    /// What the image says of itself; what was asked for where it says nothing.
    pub platform: Platform,
    /// Base layer first, at least one.
    pub layers: Vec<Layer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Of the blob.
    pub digest: Digest,
    /// Of its content.
    pub diff_id: Digest,
    /// Of the blob, as the manifest has it.
    pub size_bytes: u64,
    pub compression: Compression,
    /// Only who made it may serve it.
    pub is_foreign: bool,
}

impl Resolved {
    /// What the reference itself names: the tag has moved when a registry says another one.
    pub fn named(&self) -> Digest {
        self.index.unwrap_or(self.digest)
    }

    /// For the catalogue, under the reference as users write it.
    pub fn image(&self, reference: &str) -> Image {
        let layer = |layer: &Layer| gantry_types::Layer {
            digest: layer.digest.0.to_vec(),
            size_bytes: layer.size_bytes,
            diff_id: layer.diff_id.0.to_vec(),
        };
        Image {
            reference: reference.to_owned(),
            digest: self.digest.0.to_vec(),
            platform: self.platform.to_string(),
            layers: self.layers.iter().map(layer).collect(),
        }
    }
}
