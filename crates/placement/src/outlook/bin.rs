//! The room of a host, as far as the outlook tells hosts apart.

use smallvec::SmallVec;

use super::{
    Demand,
    coarse::{coarse, to_bits},
};

/// How precise a rough room is: thousandths of a device, and leading bits behind the first one.
const ROUGH_MILLI: u16 = 250;
const ROUGH_CPU_BITS: u32 = 1;
const ROUGH_MEMORY_BITS: u32 = 0;

/// Free thousandths of one device. Ordered so that devices of a kind lie together, the fullest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// By the mix's numbers; see [`super::Mix::kind`].
    pub kind: u8,
    pub free_milli: u16,
}

/// What is free on a host. Devices of one kind are exchangeable, so they are kept sorted, and of CPU and memory the
/// leading bits are enough: hosts that offer about the same are the same value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bin {
    pub cpu_milli: u32,
    pub memory_mib: u32,
    slots: SmallVec<[Slot; 8]>,
}

impl Bin {
    pub fn new(cpu_milli: u32, memory_mib: u32, slots: impl IntoIterator<Item = Slot>) -> Self {
        let mut slots: SmallVec<[Slot; 8]> = slots.into_iter().collect();
        slots.sort_unstable();
        Self { cpu_milli: coarse(cpu_milli), memory_mib: coarse(memory_mib), slots }
    }

    /// A room that many others are like.
    pub(crate) fn rough(&self) -> Self {
        let slots =
            self.slots.iter().map(|slot| Slot { free_milli: slot.free_milli / ROUGH_MILLI * ROUGH_MILLI, ..*slot });
        Self {
            cpu_milli: to_bits(self.cpu_milli, ROUGH_CPU_BITS),
            memory_mib: to_bits(self.memory_mib, ROUGH_MEMORY_BITS),
            slots: slots.collect(),
        }
    }

    pub fn free_gpu_milli(&self) -> i64 {
        self.slots.iter().map(|slot| i64::from(slot.free_milli)).sum()
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub fn fits(&self, demand: &Demand) -> bool {
        if demand.cpu_milli > self.cpu_milli || demand.memory_mib > self.memory_mib {
            return false;
        }
        let devices = usize::from(demand.devices);
        devices == 0 || self.fitting(demand).take(devices).count() == devices
    }

    /// Whether an empty host with such devices may have room.
    pub(crate) fn may_fit(&self, demand: &Demand) -> bool {
        let devices = usize::from(demand.devices);
        self.slots.iter().filter(|slot| demand.accepts(slot.kind)).take(devices).count() == devices
    }

    /// Positions of devices that can take their part of a demand, the fullest of each kind first.
    fn fitting<'a>(&'a self, demand: &'a Demand) -> impl Iterator<Item = usize> + 'a {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| demand.accepts(slot.kind) && slot.free_milli >= demand.milli).map(|(at, _)| at)
    }

    /// How many such demands would fit one after the other.
    pub fn capacity(&self, demand: &Demand) -> u32 {
        self.capacity_of_parts(demand, self.parts(demand.milli, demand.kinds))
    }

    /// How often so much of one device of these kinds is free.
    pub(super) fn parts(&self, milli: u16, kinds: u64) -> u32 {
        let accepts = |slot: &&Slot| kinds == 0 || kinds >> slot.kind & 1 == 1;
        let slots = self.slots.iter().filter(accepts);
        if milli >= 500 {
            // Most demands are of whole devices or of halves, and comparing costs less than dividing.
            let twice = u32::from(milli) * 2;
            let times = |slot: &Slot| {
                let free = u32::from(slot.free_milli);
                if free >= twice { free / u32::from(milli) } else { u32::from(slot.free_milli >= milli) }
            };
            return slots.map(times).sum();
        }
        slots.map(|slot| u32::from(slot.free_milli).checked_div(milli.into()).unwrap_or(0)).sum()
    }

    /// The same, for so many parts of devices that are free.
    pub(super) fn capacity_of_parts(&self, demand: &Demand, parts: u32) -> u32 {
        if demand.devices == 0 {
            return 0;
        }
        let by_gpu = if demand.devices == 1 { parts } else { parts / u32::from(demand.devices) };
        let has = |have: u32, want: u32| u64::from(want) * u64::from(by_gpu) <= u64::from(have);
        if has(self.cpu_milli, demand.cpu_milli) && has(self.memory_mib, demand.memory_mib) {
            return by_gpu;
        }
        let by = |have: u32, want: u32| have.checked_div(want).unwrap_or(u32::MAX);
        by_gpu.min(by(self.cpu_milli, demand.cpu_milli)).min(by(self.memory_mib, demand.memory_mib))
    }

    /// How many more than one would fit, up to `limit`, whether they want GPU or not.
    pub(crate) fn followers(&self, demand: &Demand, limit: u64) -> u64 {
        let by = |have: u32, want: u32| have.checked_div(want).unwrap_or(u32::MAX);
        let by_rest = by(self.cpu_milli, demand.cpu_milli).min(by(self.memory_mib, demand.memory_mib));
        let fit = if demand.devices == 0 { by_rest } else { self.capacity(demand).min(by_rest) };
        u64::from(fit.saturating_sub(1)).min(limit)
    }

    /// The host after a demand took the devices that are fullest.
    pub fn taken(&self, demand: &Demand) -> Self {
        let mut after = self.clone();
        let devices: SmallVec<[usize; 8]> = self.fitting(demand).take(usize::from(demand.devices)).collect();
        after.take(demand, &devices);
        after
    }

    /// The ways to take a demand that differ: a share may go to devices of different fullness or kind. With the
    /// device that a share goes to. Whether CPU and memory suffice is not asked: who knows them to the last bit has said so.
    pub(super) fn options(&self, demand: &Demand) -> SmallVec<[(Option<Slot>, Self); 4]> {
        let devices = usize::from(demand.devices);
        if self.fitting(demand).take(devices).count() < devices {
            return SmallVec::new();
        }
        if !demand.is_share() {
            return SmallVec::from_iter([(None, self.taken(demand))]);
        }
        let mut last = None;
        let distinct = self.fitting(demand).filter(|&at| last.replace(self.slots[at]) != Some(self.slots[at]));
        let option = |at: usize| {
            let mut after = self.clone();
            after.take(demand, &[at]);
            (Some(self.slots[at]), after)
        };
        distinct.map(option).collect()
    }

    fn take(&mut self, demand: &Demand, devices: &[usize]) {
        self.cpu_milli = coarse(self.cpu_milli.saturating_sub(demand.cpu_milli));
        self.memory_mib = coarse(self.memory_mib.saturating_sub(demand.memory_mib));
        for &at in devices {
            self.slots[at].free_milli -= demand.milli;
        }
        self.slots.sort_unstable();
    }
}
