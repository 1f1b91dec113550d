//! Layers of one content: a layer that was compressed twice has two digests and one diff id. Unpacked, they are the same.

use std::collections::{BTreeMap, BTreeSet};

use gantry_types::{Digest, Image, LayerId, limits};
use smallvec::SmallVec;

use crate::{Change, Fleet, LayerReport, lookup::Lookup};

/// Which layers have the same content. Derived, but for what agents reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Twins {
    /// How often a diff id is claimed of a layer: once for every time that a manifest lists it, and once for an agent's word.
    claims: BTreeMap<(LayerId, Digest), u32>,
    /// What the first agent that knew said.
    reported: BTreeMap<LayerId, Digest>,
    /// By layer number: the diff id, where one and only one is claimed. A digest stands for one content, so where two are
    /// claimed nobody is believed.
    agreed: Vec<Option<Digest>>,
    /// The same the other way round.
    by_diff_id: BTreeSet<(Digest, LayerId)>,
    /// The first layers of a diff id that several have, sorted.
    shared: Lookup<Digest, SmallVec<[LayerId; 4]>>,
    /// How often `shared` changed.
    learnt: u64,
}

impl Twins {
    pub(crate) fn reported(&self, layer: LayerId) -> Option<Digest> {
        self.reported.get(&layer).copied()
    }

    /// Takes an agent's word; false where an earlier one stands.
    pub(crate) fn report(&mut self, layer: LayerId, diff_id: Digest) -> bool {
        if self.reported.contains_key(&layer) {
            return false;
        }
        self.reported.insert(layer, diff_id);
        self.claim(layer, diff_id);
        true
    }

    /// The layer is gone, and with it all manifests that listed it.
    pub(crate) fn forget(&mut self, layer: LayerId) {
        if let Some(diff_id) = self.reported.remove(&layer) {
            self.unclaim(layer, diff_id);
        }
    }

    fn claim(&mut self, layer: LayerId, diff_id: Digest) {
        let claims = self.claims.entry((layer, diff_id)).or_default();
        *claims += 1;
        if *claims == 1 {
            self.agree(layer);
        }
    }

    fn unclaim(&mut self, layer: LayerId, diff_id: Digest) {
        let Some(claims) = self.claims.get_mut(&(layer, diff_id)) else { return };
        *claims -= 1;
        if *claims == 0 {
            self.claims.remove(&(layer, diff_id));
            self.agree(layer);
        }
    }

    /// Follows a layer's claims.
    fn agree(&mut self, layer: LayerId) {
        let mut claimed = self.claims.range((layer, Digest([0; 32]))..=(layer, Digest([u8::MAX; 32])));
        let after = match (claimed.next(), claimed.next()) {
            (Some(((_, diff_id), _)), None) => Some(*diff_id),
            _ => None,
        };
        let at = layer as usize;
        if self.agreed.len() <= at {
            self.agreed.resize(at + 1, None);
        }
        let before = std::mem::replace(&mut self.agreed[at], after);
        if let Some(diff_id) = before {
            self.by_diff_id.remove(&(diff_id, layer));
            self.share(diff_id);
        }
        if let Some(diff_id) = after {
            self.by_diff_id.insert((diff_id, layer));
            self.share(diff_id);
        }
    }

    /// Brings `shared` in step for one diff id.
    fn share(&mut self, diff_id: Digest) {
        let of_it = self.by_diff_id.range((diff_id, 0)..=(diff_id, LayerId::MAX));
        let layers: SmallVec<[LayerId; 4]> = of_it.map(|(_, layer)| *layer).take(limits::TWINS).collect();
        let known = self.shared.get(&diff_id);
        if layers.len() < 2 {
            self.learnt += u64::from(self.shared.remove(&diff_id).is_some());
        } else if known != Some(&layers) {
            self.shared.insert(diff_id, layers);
            self.learnt += 1;
        }
    }

    #[inline]
    fn of(&self, layer: LayerId) -> &[LayerId] {
        if self.shared.is_empty() {
            return &[];
        }
        let diff_id = self.agreed.get(layer as usize).and_then(Option::as_ref);
        diff_id.and_then(|diff_id| self.shared.get(diff_id)).map_or(&[], |layers| layers)
    }
}

impl Fleet {
    /// The layers that have the content of a layer, itself mostly among them, sorted; none where it is the only one, or
    /// its content is not known or in dispute. Of many only the first: [`limits::TWINS`].
    #[inline]
    pub fn twins(&self, layer: LayerId) -> &[LayerId] {
        self.layers.twins.of(layer)
    }

    /// How often layers came to be, or ceased to be, [`Fleet::twins`], for whoever keeps what follows from that. It counts
    /// anew where the state is restored.
    pub fn twins_learnt(&self) -> u64 {
        self.layers.twins.learnt
    }

    /// Learns from a report whose layers are known by now.
    pub(crate) fn follow_diff_ids(&mut self, report: &LayerReport) {
        for (digest, diff_id) in &report.diff_ids {
            let Some(layer) = self.layers.find(digest) else { continue };
            if self.layers.twins.report(layer, *diff_id) {
                self.changes.push(Change::Layer(layer));
            }
        }
    }

    /// A manifest that names what its layers contain was recorded.
    pub(crate) fn diff_ids_listed(&mut self, image: &Image) {
        for (layer, diff_id) in self.listed(image) {
            self.layers.twins.claim(layer, diff_id);
        }
    }

    /// Takes back what [`Fleet::diff_ids_listed`] added.
    pub(crate) fn diff_ids_unlisted(&mut self, image: &Image) {
        for (layer, diff_id) in self.listed(image) {
            self.layers.twins.unclaim(layer, diff_id);
        }
    }

    fn listed(&self, image: &Image) -> Vec<(LayerId, Digest)> {
        let named = image.layers.iter().filter(|layer| !layer.diff_id.is_empty());
        let listed = named.filter_map(|layer| {
            let digest = Digest::from_bytes("image.layers.digest", &layer.digest).ok()?;
            let diff_id = Digest::from_bytes("image.layers.diff_id", &layer.diff_id).ok()?;
            Some((self.layers.find(&digest)?, diff_id))
        });
        listed.collect()
    }

    /// Compares with what manifests and reports say.
    pub(crate) fn check_twins(&self) -> Result<(), String> {
        let mut expected = Twins::default();
        for layer in self.layers.ids() {
            if let Some(diff_id) = self.layers.twins.reported(layer) {
                expected.report(layer, diff_id);
            }
        }
        for entry in self.images.values() {
            self.listed(&entry.image).into_iter().for_each(|(layer, diff_id)| expected.claim(layer, diff_id));
        }
        if expected.claims != self.layers.twins.claims || expected.by_diff_id != self.layers.twins.by_diff_id {
            return Err(format!("{:?}, expected {expected:?}", self.layers.twins));
        }
        if expected.shared.len() != self.layers.twins.shared.len() {
            return Err(format!("{:?}, expected {:?}", self.layers.twins.shared, expected.shared));
        }
        self.layers.ids().find(|&layer| expected.of(layer) != self.twins(layer)).map_or(Ok(()), |layer| {
            Err(format!("layer {layer} has twins {:?}, expected {:?}", self.twins(layer), expected.of(layer)))
        })
    }
}
