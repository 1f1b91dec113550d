//! The layer index, both ways: which layers lie on a host, and on which hosts a layer lies.
//!
//! Layers are numbered, so that an edge costs eight bytes at the host and at most four at the layer. A number is given
//! back when no host and no image names the layer any more; the smallest free number is given out first, so that
//! replicas that were restored and replicas that were not agree.

use std::collections::BTreeSet;

use gantry_types::{Digest, HostId, LayerId, LayerState, Refused, limits};

use crate::{Change, Fleet, Host, HostSet, LayerRow, Touched, bounds::room, lookup::Lookup, twins::Twins};

/// A layer on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLayer {
    pub layer: LayerId,
    pub state: LayerState,
}

/// What an agent says about its host's layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerReport {
    /// Replaces everything known of the host; otherwise a delta.
    pub full: bool,
    /// With compressed sizes.
    pub present: Vec<(Digest, u64, LayerState)>,
    /// Only in a delta.
    pub gone: Vec<Digest>,
    /// Of layers that are present and being pulled, where that is known: the bytes that are there already, compressed.
    pub fetched: Vec<(Digest, u64)>,
    /// Diff ids of layers that are present, where they are known.
    pub diff_ids: Vec<(Digest, Digest)>,
}

#[derive(Clone, Debug)]
struct LayerEntry {
    digest: Digest,
    /// As whoever named the layer first said. Only what a host's layers take together is counted with it; an image
    /// goes by its manifest.
    size_bytes: u64,
    /// Images whose manifest lists it, each counted once.
    images: u32,
    hosts: HostSet,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct LayerTable {
    by_digest: Lookup<Digest, LayerId>,
    entries: Vec<Option<LayerEntry>>,
    free: BTreeSet<LayerId>,
    pub(crate) twins: Twins,
}

impl LayerTable {
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn find(&self, digest: &Digest) -> Option<LayerId> {
        self.by_digest.get(digest).copied()
    }

    fn entry(&self, layer: LayerId) -> &LayerEntry {
        self.entries[layer as usize].as_ref().expect("a layer number is only handed out while its entry exists")
    }

    fn entry_mut(&mut self, layer: LayerId) -> &mut LayerEntry {
        self.entries[layer as usize].as_mut().expect("a layer number is only handed out while its entry exists")
    }

    pub(crate) fn size_bytes(&self, layer: LayerId) -> u64 {
        self.entry(layer).size_bytes
    }

    pub(crate) fn digest(&self, layer: LayerId) -> Digest {
        self.entry(layer).digest
    }

    pub(crate) fn hosts(&self, layer: LayerId) -> &HostSet {
        &self.entry(layer).hosts
    }

    pub(crate) fn row(&self, layer: LayerId) -> Option<LayerRow> {
        let entry = self.entries.get(layer as usize)?.as_ref()?;
        let diff_id = self.twins.reported(layer).map_or_else(Vec::new, |diff_id| diff_id.0.to_vec());
        Some(LayerRow { layer, digest: entry.digest.0.to_vec(), size_bytes: entry.size_bytes, diff_id })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = LayerId> + '_ {
        (0..self.entries.len() as LayerId).filter(|&id| self.entries[id as usize].is_some())
    }

    /// The number of a layer, given now if it has none. The first size heard of a digest stays.
    fn intern(&mut self, digest: Digest, size_bytes: u64, changes: &mut Vec<Change>) -> LayerId {
        if let Some(layer) = self.find(&digest) {
            return layer;
        }
        let layer = self.free.pop_first().unwrap_or(self.entries.len() as LayerId);
        self.place(layer, digest, size_bytes);
        changes.push(Change::Layer(layer));
        layer
    }

    fn place(&mut self, layer: LayerId, digest: Digest, size_bytes: u64) {
        let at = layer as usize;
        while self.entries.len() <= at {
            self.free.insert(self.entries.len() as LayerId);
            self.entries.push(None);
        }
        self.free.remove(&layer);
        self.entries[at] = Some(LayerEntry { digest, size_bytes, images: 0, hosts: HostSet::default() });
        self.by_digest.insert(digest, layer);
    }

    fn drop_if_unused(&mut self, layer: LayerId, changes: &mut Vec<Change>) {
        let entry = self.entry(layer);
        if entry.images == 0 && entry.hosts.is_empty() {
            self.by_digest.remove(&entry.digest.clone());
            self.entries[layer as usize] = None;
            self.free.insert(layer);
            self.twins.forget(layer);
            changes.push(Change::Layer(layer));
        }
    }

    /// Numbers the distinct layers of a manifest and counts the image at each.
    pub(crate) fn image_added(&mut self, layers: &[(Digest, u64)], changes: &mut Vec<Change>) -> Vec<LayerId> {
        let ids: Vec<LayerId> = layers.iter().map(|&(digest, size)| self.intern(digest, size, changes)).collect();
        for &layer in &ids {
            self.entry_mut(layer).images += 1;
        }
        ids
    }

    pub(crate) fn image_removed(&mut self, layers: impl Iterator<Item = LayerId>, changes: &mut Vec<Change>) {
        for layer in layers {
            self.entry_mut(layer).images -= 1;
            self.drop_if_unused(layer, changes);
        }
    }

    pub(crate) fn load(&mut self, row: &LayerRow) -> Result<(), String> {
        let digest = Digest::from_bytes("layer.digest", &row.digest).map_err(|e| e.to_string())?;
        self.place(row.layer, digest, row.size_bytes);
        if !row.diff_id.is_empty() {
            let diff_id = Digest::from_bytes("layer.diff_id", &row.diff_id).map_err(|e| e.to_string())?;
            self.twins.report(row.layer, diff_id);
        }
        Ok(())
    }

    fn link(&mut self, layer: LayerId, host: HostId) {
        self.entry_mut(layer).hosts.insert(host);
    }

    fn unlink(&mut self, layer: LayerId, host: HostId, changes: &mut Vec<Change>) {
        self.entry_mut(layer).hosts.remove(host);
        self.drop_if_unused(layer, changes);
    }

    pub(crate) fn images_of(&self, layer: LayerId) -> u32 {
        self.entry(layer).images
    }
}

impl Fleet {
    /// Takes over what an agent reports of its host's layers.
    pub fn report_layers(&mut self, host: HostId, report: &LayerReport) -> Result<(), Refused> {
        if self.layers_after(self.known_host(host)?, report) > limits::LAYERS_PER_HOST {
            return Err(Refused::Full { what: "layers on this host", limit: limits::LAYERS_PER_HOST });
        }
        self.room_for_layers(report.present.iter().map(|(digest, ..)| digest))?;
        // New layers are linked before old ones are dropped, so that a layer in both never loses its number.
        let before = if report.full { self.take_layers(host) } else { Vec::new() };
        for &(digest, size_bytes, state) in &report.present {
            let layer = self.layers.intern(digest, size_bytes, &mut self.changes);
            self.layers.link(layer, host);
            let bytes = self.layers.size_bytes(layer);
            let row = self.host_mut(host);
            match row.layers.binary_search_by_key(&layer, |held| held.layer) {
                Ok(at) => row.layers[at].state = state,
                Err(at) => {
                    row.layers.insert(at, HeldLayer { layer, state });
                    row.layer_bytes += bytes;
                }
            }
        }
        for held in before {
            if self.host_ref(host).layers.binary_search_by_key(&held.layer, |h| h.layer).is_err() {
                self.layers.unlink(held.layer, host, &mut self.changes);
            }
        }
        for digest in &report.gone {
            self.forget_layer(host, digest);
        }
        self.follow_pulls(host, report);
        self.follow_diff_ids(report);
        self.changes.push(Change::Layers(host));
        self.journal.push(Touched { host, layers: true });
        Ok(())
    }

    /// Whether these layers fit beside all that are known. They are only looked at where the table is nearly full.
    pub(crate) fn room_for_layers<'a>(&self, layers: impl ExactSizeIterator<Item = &'a Digest>) -> Result<(), Refused> {
        let (have, limit) = (self.layers.len(), self.bounds.layers);
        if have + layers.len() <= limit {
            return Ok(());
        }
        let new: BTreeSet<&Digest> = layers.filter(|digest| self.layers.find(digest).is_none()).collect();
        room("layers", have, new.len(), limit)
    }

    /// How many layers a host would have after a report, before it forgets those gone.
    fn layers_after(&self, host: &Host, report: &LayerReport) -> usize {
        let held = if report.full { &[][..] } else { &host.layers };
        if held.len() + report.present.len() <= limits::LAYERS_PER_HOST {
            return held.len() + report.present.len();
        }
        let is_held = |digest: &Digest| {
            self.layers.find(digest).is_some_and(|layer| held.binary_search_by_key(&layer, |h| h.layer).is_ok())
        };
        let new: BTreeSet<&Digest> = report.present.iter().map(|(digest, ..)| digest).filter(|d| !is_held(d)).collect();
        held.len() + new.len()
    }

    fn forget_layer(&mut self, host: HostId, digest: &Digest) {
        let Some(layer) = self.layers.find(digest) else { return };
        let bytes = self.layers.size_bytes(layer);
        let row = self.host_mut(host);
        if let Ok(at) = row.layers.binary_search_by_key(&layer, |held| held.layer) {
            row.layers.remove(at);
            row.layer_bytes -= bytes;
            self.layers.unlink(layer, host, &mut self.changes);
        }
    }

    pub(crate) fn forget_all_layers(&mut self, host: HostId) {
        for held in self.take_layers(host) {
            self.layers.unlink(held.layer, host, &mut self.changes);
        }
        self.changes.push(Change::Layers(host));
    }

    /// What a host had; the index still says so.
    fn take_layers(&mut self, host: HostId) -> Vec<HeldLayer> {
        let row = self.host_mut(host);
        row.layer_bytes = 0;
        std::mem::take(&mut row.layers)
    }

    pub(crate) fn load_layers(&mut self, host: HostId, held: Vec<HeldLayer>) {
        let mut bytes = 0;
        for layer in &held {
            bytes += self.layers.size_bytes(layer.layer);
            self.layers.link(layer.layer, host);
        }
        let row = self.host_mut(host);
        row.layers = held;
        row.layer_bytes = bytes;
    }

    /// Hosts on which a layer lies, in any state.
    pub fn hosts_with(&self, layer: LayerId) -> &HostSet {
        self.layers.hosts(layer)
    }

    /// Compressed, as whoever named the layer first said.
    pub fn layer_size_bytes(&self, layer: LayerId) -> u64 {
        self.layers.size_bytes(layer)
    }

    pub fn layer_digest(&self, layer: LayerId) -> Digest {
        self.layers.digest(layer)
    }
}
