//! The catalogue: references and the manifests they stand for now.

use std::{collections::BTreeSet, sync::Arc};

use gantry_types::{Digest, Image, LayerId, Refused};

use crate::{Change, EventKind, Fleet, bounds::room};

/// An image with its layers numbered.
#[derive(Clone, Debug)]
pub struct ImageEntry {
    pub image: Arc<Image>,
    /// Distinct layers, sorted by number: a manifest may list one twice, a host stores it once. The first listing counts.
    pub layers: Arc<[ImageLayer]>,
    /// The same layers as the manifest stacks them, base layer first.
    pub chain: Arc<[ImageLayer]>,
    /// Sum over the distinct layers.
    pub size_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    pub layer: LayerId,
    /// As the manifest says. An agent's word on the same layer plays no part.
    pub size_bytes: u64,
}

impl Fleet {
    /// Records what a reference stands for now; a moved tag replaces what it stood for before.
    pub fn record_image(&mut self, image: Image) -> Result<(), Refused> {
        image.validate()?;
        if self.images.get(&image.reference).is_some_and(|known| *known.image == image) {
            return Ok(());
        }
        if !self.images.contains_key(&image.reference) {
            room("images", self.images.len(), 1, self.bounds.images)?;
        }
        let distinct = distinct_layers(&image)?;
        self.room_for_layers(distinct.iter().map(|(digest, _)| digest))?;
        let reference = image.reference.clone();
        let entry = self.number_layers(image, &distinct);
        if let Some(old) = self.images.insert(reference.clone(), entry) {
            self.diff_ids_unlisted(&old.image);
            self.layers.image_removed(old.layers.iter().map(|l| l.layer), &mut self.changes);
        }
        self.image_in_use_changed(&reference);
        self.changes.push(Change::Image(reference.clone()));
        self.happened(EventKind::ImageRecorded(Arc::from(reference)));
        Ok(())
    }

    pub(crate) fn load_image(&mut self, image: Image) -> Result<(), String> {
        let reference = image.reference.clone();
        let distinct = distinct_layers(&image).map_err(|e| e.to_string())?;
        let entry = self.number_layers(image, &distinct);
        self.images.insert(reference, entry);
        Ok(())
    }

    fn number_layers(&mut self, image: Image, distinct: &[(Digest, u64)]) -> ImageEntry {
        let ids = self.layers.image_added(distinct, &mut self.changes);
        let sizes = distinct.iter().map(|&(_, size_bytes)| size_bytes);
        let chain: Arc<[ImageLayer]> =
            ids.into_iter().zip(sizes).map(|(layer, size_bytes)| ImageLayer { layer, size_bytes }).collect();
        // Layers that nobody named before are mostly numbered as they are stacked.
        let mut layers = Arc::clone(&chain);
        if !chain.is_sorted_by_key(|l| l.layer) {
            let mut sorted = chain.to_vec();
            sorted.sort_by_key(|l| l.layer);
            layers = sorted.into();
        }
        self.diff_ids_listed(&image);
        let size_bytes = layers.iter().map(|l| l.size_bytes).sum();
        ImageEntry { image: Arc::new(image), layers, chain, size_bytes }
    }

    pub fn image(&self, reference: &str) -> Option<&ImageEntry> {
        self.images.get(reference)
    }

    /// Images by reference, after the given one.
    pub fn images_after(&self, reference: &str) -> impl Iterator<Item = &ImageEntry> {
        use std::ops::Bound;
        self.images.range::<str, _>((Bound::Excluded(reference), Bound::Unbounded)).map(|(_, entry)| entry)
    }

    pub fn image_count(&self) -> usize {
        self.images.len()
    }
}

/// A manifest's layers, each once, as it was listed first.
pub(crate) fn distinct_layers(image: &Image) -> Result<Vec<(Digest, u64)>, Refused> {
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::with_capacity(image.layers.len());
    for layer in &image.layers {
        let digest = Digest::from_bytes("image.layers.digest", &layer.digest)?;
        if seen.insert(digest) {
            distinct.push((digest, layer.size_bytes));
        }
    }
    Ok(distinct)
}
