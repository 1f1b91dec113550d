//! Which hosts have how much of an image, for the images that were asked for lately.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gantry_fleet::{Fleet, HostSet, ImageEntry, ImageLayer, Journal};
use gantry_types::HostId;

use crate::present_bytes;

/// Hosts in all images together, at most four bytes each. Over it the image used longest ago is dropped.
const HOSTS: usize = 48_000_000;
/// Images, however small the fleet is.
const IMAGES: usize = 4_096;

/// Levels looked through while following that are never too many.
const FEW: usize = 256;

/// Hosts by the bytes that they have of one image.
#[derive(Clone, Debug)]
pub(crate) struct Overlap {
    levels: BTreeMap<u64, HostSet>,
    hosts: usize,
    position: u64,
    /// As it was when the hosts were counted. Held, so that its address stands for no other list.
    layers: Option<Arc<[ImageLayer]>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Overlaps {
    /// By the address of the image's list of layers; 0 where there is no image.
    kept: BTreeMap<usize, (u64, Overlap)>,
    /// When each was used, oldest first.
    order: BTreeSet<(u64, usize)>,
    hosts: usize,
    clock: u64,
    /// Bytes by host number while an image is counted: memory costs more to get than to fill.
    scratch: Vec<u64>,
}

impl Overlaps {
    /// The hosts of an image as they are at the end of a journal of changed layers.
    pub(crate) fn of(&mut self, fleet: &Fleet, image: Option<&ImageEntry>, journal: &Journal) -> &Overlap {
        let key = image.map_or(0, |image| image.layers.as_ptr() as usize);
        self.clock += 1;
        let mut overlap = match self.kept.remove(&key) {
            Some((used, overlap)) => {
                self.order.remove(&(used, key));
                self.hosts -= overlap.hosts;
                overlap
            }
            None => Overlap::count(fleet, image, journal, &mut self.scratch),
        };
        debug_assert_eq!(overlap.layers.as_ref().map_or(0, |layers| layers.as_ptr() as usize), key);
        // Following looks through the levels for every host: with many of both, counting anew costs less.
        let touched = journal.since(overlap.position);
        match touched.filter(|entries| entries.len() * overlap.levels.len() <= fleet.host_count() + FEW) {
            None => overlap = Overlap::count(fleet, image, journal, &mut self.scratch),
            Some(entries) => entries.for_each(|touched| overlap.recount(fleet, image, touched.host)),
        }
        overlap.position = journal.end();
        self.hosts += overlap.hosts;
        self.order.insert((self.clock, key));
        while (self.hosts > HOSTS || self.order.len() > IMAGES) && self.order.len() > 1 {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.hosts -= self.kept.remove(&oldest).map_or(0, |(_, overlap)| overlap.hosts);
        }
        &self.kept.entry(key).or_insert((self.clock, overlap)).1
    }
}

impl Overlap {
    fn count(fleet: &Fleet, image: Option<&ImageEntry>, journal: &Journal, bytes: &mut Vec<u64>) -> Self {
        bytes_by_host(fleet, image, bytes);
        let levels = by_level(fleet.host_ids(), bytes);
        let layers = image.map(|image| Arc::clone(&image.layers));
        Self { levels, hosts: fleet.host_count(), position: journal.end(), layers }
    }

    /// Mostly there are few levels: looking for the host in all of them costs less than noting for each in which it is.
    fn recount(&mut self, fleet: &Fleet, image: Option<&ImageEntry>, id: HostId) {
        let now = fleet.host(id).map(|host| present_bytes(image, host));
        let before = self.levels.iter().find(|(_, hosts)| hosts.contains(id)).map(|(&bytes, _)| bytes);
        if now == before {
            return;
        }
        if let Some(hosts) = before.and_then(|bytes| self.levels.get_mut(&bytes)) {
            hosts.remove(id);
            self.hosts -= 1;
        }
        if let Some(bytes) = now {
            self.levels.entry(bytes).or_default().insert(id);
            self.hosts += 1;
        }
        if let Some(bytes) = before.filter(|bytes| self.levels[bytes].is_empty()) {
            self.levels.remove(&bytes);
        }
    }

    /// Most bytes first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (u64, &HostSet)> {
        self.levels.iter().rev().map(|(&bytes, hosts)| (bytes, hosts))
    }
}

/// Hosts by their bytes. Many have the same as one shortly before, and are put there without a search.
fn by_level(ids: impl Iterator<Item = HostId>, bytes: &[u64]) -> BTreeMap<u64, HostSet> {
    const RECENT: usize = 256;
    let mut levels: Vec<(u64, Vec<HostId>)> = Vec::new();
    let mut numbers: BTreeMap<u64, usize> = BTreeMap::new();
    let mut recent = [usize::MAX; RECENT];
    for id in ids {
        let bytes = bytes[id as usize];
        let slot = &mut recent[(bytes.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize % RECENT];
        if levels.get(*slot).is_none_or(|level| level.0 != bytes) {
            *slot = *numbers.entry(bytes).or_insert(levels.len());
            if *slot == levels.len() {
                levels.push((bytes, Vec::new()));
            }
        }
        levels[*slot].1.push(id);
    }
    levels.into_iter().map(|(bytes, hosts)| (bytes, HostSet::of_sorted(&hosts))).collect()
}

/// Fills in the bytes of an image that each host has, by host number. Walks the layers' hosts instead of the hosts'
/// layers: only hosts that have something are visited.
pub fn bytes_by_host(fleet: &Fleet, image: Option<&ImageEntry>, bytes: &mut Vec<u64>) {
    bytes.clear();
    bytes.resize(fleet.host_numbers_end() as usize, 0);
    for layer in image.into_iter().flat_map(|image| image.layers.iter()) {
        fleet.hosts_with(layer.layer).for_each(|host| bytes[host as usize] += layer.size_bytes);
    }
}

#[cfg(test)]
mod tests {
    use gantry_fleet::LayerReport;
    use gantry_types::{Digest, HostSpec, Image, Layer, LayerState};

    use super::*;

    fn image(n: usize, layers: &[u8]) -> Image {
        let layer = |&n: &u8| Layer { digest: vec![n; 32], size_bytes: 1 << n, diff_id: Vec::new() };
        Image {
            reference: format!("image-{n}"),
            digest: vec![9; 32],
            platform: String::new(),
            layers: layers.iter().map(layer).collect(),
        }
    }

    fn fleet(hosts: usize) -> Fleet {
        let mut fleet = Fleet::default();
        for n in 0..hosts {
            let (name, region, zone) = (format!("host-{n}"), "region".into(), "zone".into());
            fleet.register_host(HostSpec { name, region, zone, ..HostSpec::default() }).unwrap();
        }
        fleet
    }

    fn levels(overlap: &Overlap) -> Vec<(u64, Vec<HostId>)> {
        overlap.levels().map(|(bytes, hosts)| (bytes, hosts.iter().collect())).collect()
    }

    /// Few hosts at a time, so that it follows, and sometimes many, so that it counts.
    #[test]
    fn following_says_what_counting_says() {
        let (mut fleet, mut overlaps) = (fleet(300), Overlaps::default());
        fleet.record_image(image(0, &[0, 1, 2, 3])).unwrap();
        for step in 0..400_u64 {
            for turn in 0..if step % 50 == 0 { 200 } else { 3 } {
                let draw = (step * 200 + turn).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
                let (host, n) = ((draw % 300) as HostId + 1, (draw >> 16 & 3) as u8);
                let (digest, comes) = (Digest([n; 32]), draw >> 20 & 1 == 0);
                let present = if comes { vec![(digest, 1 << n, LayerState::Blob)] } else { Vec::new() };
                let gone = if comes { Vec::new() } else { vec![digest] };
                // A host that is gone reports nothing.
                drop(fleet.report_layers(host, &LayerReport { present, gone, ..LayerReport::default() }));
                if draw % 97 == 0 {
                    drop(fleet.remove_host(host));
                }
            }
            let (journal, image) = (fleet.journal(), fleet.image("image-0"));
            let expected = levels(&Overlap::count(&fleet, image, journal, &mut Vec::new()));
            assert_eq!(levels(overlaps.of(&fleet, image, journal)), expected, "step {step}");
            assert_eq!(overlaps.hosts, fleet.host_count());
        }
        assert!(fleet.host_count() < 300);
    }

    #[test]
    fn images_of_a_small_fleet_are_bounded() {
        let (mut fleet, mut overlaps) = (fleet(1), Overlaps::default());
        for n in 0..IMAGES + 10 {
            fleet.record_image(image(n, &[1])).unwrap();
            overlaps.of(&fleet, fleet.image(&format!("image-{n}")), fleet.journal());
        }
        assert_eq!((overlaps.kept.len(), overlaps.order.len(), overlaps.hosts), (IMAGES, IMAGES, IMAGES));
    }
}
