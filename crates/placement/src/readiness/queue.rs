//! What a host still has to fetch and unpack for machines that are on their way to it.

use gantry_fleet::{Fleet, Host, ImageEntry, Pull};
use gantry_types::{LayerId, Stamp};
use smallvec::SmallVec;

use super::{
    Estimate, Paces,
    link::Link,
    needs::needs,
    run::{Coming, Done, run},
};

/// Machines of a host whose pulls are looked for: the newest.
const MACHINES_LOOKED_AT: usize = 64;
/// Layers that an agent says are being fetched, of those that are counted. More would only make planning slow.
const PULLS_LOOKED_AT: usize = 512;
/// A pull that began longer ago is over, or will never be.
const PULL_MS: u64 = 60 * 60 * 1_000;
/// How long an agent may take to report what should be done by now. Until then it is believed to be done.
const REPORT_US: u64 = 30_000_000;

/// The pulls of a host in the order in which they were asked for, and when each of their layers is done.
///
/// Pulls are those that the agent reports; those of machines that were placed there, from when they were granted on, at the
/// host's rate, unless the agent reports that their layers are there; and those of plans in flight.
#[derive(Clone, Debug, Default)]
pub struct PullQueue {
    now_us: u64,
    link: Link,
    /// Sorted by layer.
    coming: SmallVec<[(LayerId, Coming); 16]>,
}

impl PullQueue {
    /// Of a host that fetches nothing.
    pub fn idle(paces: Paces, now_ms: Stamp) -> Self {
        Self { now_us: now_ms.saturating_mul(1_000), link: Link::new(paces), coming: SmallVec::new() }
    }

    /// The queue of a host as it is applied, and with the images of machines that plans in flight send there.
    pub fn of<'a>(
        fleet: &Fleet,
        host: &Host,
        now_ms: Stamp,
        in_flight: impl IntoIterator<Item = &'a ImageEntry>,
    ) -> Self {
        let mut queue = Self::idle(Paces::of(&host.rates()), now_ms);
        queue.add_reported(fleet, host);
        queue.add_granted(fleet, host);
        in_flight.into_iter().for_each(|image| queue.push(fleet, host, image));
        queue
    }

    /// Whether the host fetches and unpacks nothing that is known.
    pub fn is_empty(&self) -> bool {
        self.coming.is_empty()
    }

    /// What an image would cost on the host. `host` is the one that the queue was made of.
    #[inline]
    pub fn estimate(&self, fleet: &Fleet, host: &Host, image: &ImageEntry) -> Estimate {
        run(&mut { self.link }, self.now_us, needs(fleet, host, image, &self.coming), |_| {})
    }

    /// Adds the pull of a machine that is placed now.
    pub fn push(&mut self, fleet: &Fleet, host: &Host, image: &ImageEntry) {
        self.pull(fleet, host, image, self.now_us);
    }

    /// Layers that the agent says are being fetched: they have begun, so they go first. They go on at the host's rate from
    /// where they were last said to be, and one that is not said to have ended begins again from there.
    fn add_reported(&mut self, fleet: &Fleet, host: &Host) {
        for &Pull { layer, progress } in host.pulls().iter().take(PULLS_LOOKED_AT) {
            let (fetched_bytes, at_us) =
                progress.map_or((0, self.now_us), |known| (known.fetched_bytes, known.at.saturating_mul(1_000)));
            let left_bytes = fleet.layer_size_bytes(layer).saturating_sub(fetched_bytes);
            let before = self.link;
            let mut fetched_us = self.link.fetch(at_us, left_bytes);
            if fetched_us.saturating_add(REPORT_US) < self.now_us {
                self.link = before;
                fetched_us = self.link.fetch(self.now_us, left_bytes);
            }
            self.coming.push((layer, Coming { fetched_us, unpacked_us: None }));
        }
    }

    /// The oldest grant first.
    fn add_granted(&mut self, fleet: &Fleet, host: &Host) {
        let is_unpacked = |image: &&ImageEntry| self.estimate(fleet, host, image) == Estimate::default();
        // With the time until which a pull of it counts.
        let mut images: SmallVec<[(&ImageEntry, u64); 8]> =
            fleet.images_in_use(host).filter(|image| !is_unpacked(image)).map(|image| (image, 0)).collect();
        if images.is_empty() {
            return;
        }
        // What is reported of pulls says where they are now, which would make pulls of long ago end in the future.
        let mut unreported = Self { link: Link::new(self.link.paces), coming: SmallVec::new(), ..*self };
        let newest = host.reservations().len().saturating_sub(MACHINES_LOOKED_AT);
        for &id in &host.reservations()[newest..] {
            let Some(machine) = fleet.reservation(id) else { continue };
            if machine.created_at.saturating_add(PULL_MS).saturating_mul(1_000) < self.now_us {
                continue;
            }
            let at_us = machine.created_at.saturating_mul(1_000);
            let pulled = images.iter_mut().find(|(image, _)| image.image.reference == machine.image);
            let Some((image, until_us)) = pulled.filter(|(_, until_us)| *until_us < at_us) else { continue };
            *until_us = unreported.pull(fleet, host, image, at_us);
            if *until_us >= self.now_us {
                self.pull(fleet, host, image, at_us);
            }
        }
    }

    /// Asks for an image. Returns until when that counts: once it should be done, and the agent has had the time to say so,
    /// what the agent says is all that is known.
    fn pull(&mut self, fleet: &Fleet, host: &Host, image: &ImageEntry, at_us: u64) -> u64 {
        let mut layers: SmallVec<[Done; 32]> = SmallVec::new();
        let estimate = run(&mut self.link, at_us, needs(fleet, host, image, &self.coming), |done| layers.push(done));
        let until_us = at_us.saturating_add(estimate.ready_us).saturating_add(REPORT_US);
        if until_us >= self.now_us {
            layers.into_iter().for_each(|done| self.comes(done));
        }
        until_us
    }

    fn comes(&mut self, Done { layer, fetched_us, unpacked_us }: Done) {
        match self.coming.binary_search_by_key(&layer, |(layer, _)| *layer) {
            Ok(at) => {
                let known = &mut self.coming[at].1.unpacked_us;
                *known = Some(known.map_or(unpacked_us, |known| known.min(unpacked_us)));
            }
            Err(at) => self.coming.insert(at, (layer, Coming { fetched_us, unpacked_us: Some(unpacked_us) })),
        }
    }
}
