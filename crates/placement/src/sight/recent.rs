//! Which hosts got an image lately: in a large fleet most hosts fetch something, but few what is asked for.

use std::collections::BTreeMap;

use gantry_fleet::ImageEntry;
use gantry_types::HostId;
use smallvec::SmallVec;

/// Hosts that are kept of an image.
const HOSTS: usize = 3;
/// Images that are kept; all are forgotten where there are more.
const IMAGES: usize = 4_096;

pub(super) type Hosts = SmallVec<[HostId; HOSTS]>;

/// Only a hint: an address may come to stand for another image, and hosts may have it by now.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(BTreeMap<usize, Ring>);

#[derive(Clone, Debug, Default)]
struct Ring {
    hosts: Hosts,
    /// Where the next one goes once there are enough.
    next: usize,
}

impl Recent {
    pub(super) fn add(&mut self, image: &ImageEntry, host: HostId) {
        if self.0.len() >= IMAGES && !self.0.contains_key(&key(image)) {
            self.0.clear();
        }
        let ring = self.0.entry(key(image)).or_default();
        if ring.hosts.contains(&host) {
            return;
        }
        if ring.hosts.len() < HOSTS {
            ring.hosts.push(host);
        } else {
            ring.hosts[ring.next] = host;
            ring.next = (ring.next + 1) % HOSTS;
        }
    }

    pub(super) fn hosts(&self, image: &ImageEntry) -> Hosts {
        self.0.get(&key(image)).map(|ring| ring.hosts.clone()).unwrap_or_default()
    }
}

fn key(image: &ImageEntry) -> usize {
    image.layers.as_ptr() as usize
}
