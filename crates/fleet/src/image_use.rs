//! The images of machines that are reserved, or that something is held for: their layers cannot be evicted from the hosts of these machines.

use crate::{Fleet, Host, ImageEntry, Touched, names::Names};

/// Images by the number that hosts count them under. Derived, not replicated.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImagesInUse {
    names: Names,
    /// What a number stands for; nothing where the image is not recorded.
    entries: Vec<Option<ImageEntry>>,
    /// How often a reference came to stand for other layers.
    recorded: u64,
}

impl Fleet {
    /// The recorded images of a host's machines, each once.
    pub fn images_in_use<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a ImageEntry> {
        host.images.iter().filter_map(|(number, _)| self.image_use.entries[number as usize].as_ref())
    }

    /// Machines on a host, and holds there, with an image.
    pub fn image_uses(&self, host: &Host, reference: &str) -> u32 {
        self.image_use.names.find(reference).map_or(0, |number| host.images.of(number))
    }

    /// How often a reference came to stand for other layers, for whoever keeps what follows from images. It counts anew
    /// where the state is restored.
    pub fn images_recorded(&self) -> u64 {
        self.image_use.recorded
    }

    /// One more machine has this image. Returns the number to count it under; none where the machine has no image.
    pub(crate) fn image_used(&mut self, reference: &str) -> Option<u32> {
        if reference.is_empty() {
            return None;
        }
        let number = self.image_use.names.added(reference);
        if self.image_use.names.uses(number) == 1 {
            let at = number as usize;
            if self.image_use.entries.len() <= at {
                self.image_use.entries.resize(at + 1, None);
            }
            self.image_use.entries[at] = self.images.get(reference).cloned();
        }
        Some(number)
    }

    /// Takes back what [`Fleet::image_used`] counted.
    pub(crate) fn image_unused(&mut self, reference: &str) -> Option<u32> {
        let number = self.image_use.names.removed(reference)?;
        if self.image_use.names.uses(number) == 0 {
            self.image_use.entries[number as usize] = None;
        }
        Some(number)
    }

    /// A reference stands for other layers than before, so what its hosts cannot evict is another thing now.
    pub(crate) fn image_in_use_changed(&mut self, reference: &str) {
        self.image_use.recorded += 1;
        let Some(number) = self.image_use.names.find(reference) else { return };
        self.image_use.entries[number as usize] = self.images.get(reference).cloned();
        let Self { hosts, journal, .. } = self;
        for host in hosts.iter().filter(|host| host.images.of(number) > 0) {
            journal.push(Touched { host: host.id, layers: false });
        }
    }

    /// Whether images are counted as reservations and holds say, which is that many machines of so many images.
    pub(crate) fn check_image_use(&self) -> Result<(), String> {
        let mut machines = std::collections::BTreeMap::<&str, u64>::new();
        let held = self.volumes.values().filter_map(|volume| Some(volume.hold.as_ref()?.image.as_str()));
        let images = self.reservations.values().map(|row| row.image.as_str()).chain(held);
        images.filter(|image| !image.is_empty()).for_each(|image| *machines.entry(image).or_default() += 1);
        let ImagesInUse { names, entries, .. } = &self.image_use;
        if names.len() != machines.len() {
            return Err(format!("{} images are in use, {} are counted", machines.len(), names.len()));
        }
        for (reference, have) in machines {
            let number = names.find(reference).filter(|&number| names.uses(number) == have);
            let number = number.ok_or_else(|| format!("image {reference} of {have} machines is counted otherwise"))?;
            let on_hosts: u64 = self.hosts.iter().map(|host| u64::from(host.images.of(number))).sum();
            let kept = entries[number as usize].as_ref().map(|entry| &entry.layers);
            if on_hosts != have || kept != self.images.get(reference).map(|entry| &entry.layers) {
                return Err(format!("image {reference} is counted {on_hosts} times, or kept as {kept:?}"));
            }
        }
        Ok(())
    }
}
