//! What is asked for, and how often.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{
    Bin,
    coarse::{coarse, to_bits},
};

/// Shapes that are told apart; rarer ones are left out.
const DEMANDS: usize = 512;
/// Kinds of devices that are told apart: one bit each.
const KINDS: usize = 64;

/// Leading bits behind the first one that a rough demand has.
const ROUGH_BITS: u32 = 1;

/// One shape of machine. The counts are per machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Demand {
    pub cpu_milli: u32,
    pub memory_mib: u32,
    /// 0 for a machine without GPU.
    pub devices: u8,
    /// Thousandths of each device.
    pub milli: u16,
    /// A bit for each kind that will do; 0 accepts any.
    pub kinds: u64,
}

impl Demand {
    /// The same to the precision of a [`super::Bin`].
    pub fn coarse(self) -> Self {
        Self { cpu_milli: coarse(self.cpu_milli), memory_mib: coarse(self.memory_mib), ..self }
    }

    /// Of CPU and memory, about as much: machines that are alike but for a little.
    pub(crate) fn rough(&self) -> Self {
        let [cpu_milli, memory_mib] = [self.cpu_milli, self.memory_mib].map(|value| to_bits(value, ROUGH_BITS));
        Self { cpu_milli, memory_mib, ..self.clone() }
    }

    pub fn accepts(&self, kind: u8) -> bool {
        self.kinds == 0 || self.kinds >> kind & 1 == 1
    }

    /// Of one device, which others may share.
    pub fn is_share(&self) -> bool {
        self.devices == 1 && self.milli < 1_000
    }

    pub fn gpu_milli(&self) -> i64 {
        i64::from(self.devices) * i64::from(self.milli)
    }
}

/// Demands with how often each was seen, the most frequent first.
#[derive(Clone, Debug, Default)]
pub struct Mix {
    kinds: Vec<String>,
    demands: Vec<(Demand, u32)>,
    /// What demands ask of a device, each once.
    parts: Vec<Part>,
    /// By demand: its place in these.
    part_of: Vec<u16>,
}

/// What is asked of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    milli: u16,
    kinds: u64,
}

impl Mix {
    /// Of the kinds of devices that the fleet has. Beyond the 64th, kinds count as the last one.
    pub fn of_kinds<'a>(kinds: impl IntoIterator<Item = &'a str>) -> Self {
        let mut mix = Self::default();
        for kind in kinds {
            if mix.kinds.len() < KINDS && !mix.kinds.iter().any(|known| known == kind) {
                mix.kinds.push(kind.to_owned());
            }
        }
        mix
    }

    /// The number of a kind.
    pub fn kind(&self, name: &str) -> u8 {
        self.kinds.iter().position(|kind| kind == name).unwrap_or(KINDS - 1) as u8
    }

    /// The bits of several kinds, for [`Demand::kinds`]. A kind that no host has is one that no device is of.
    pub fn kinds<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> u64 {
        names.into_iter().fold(0, |bits, name| bits | 1 << self.kind(name))
    }

    /// Replaces what is known by what was seen, with how often.
    pub fn learn(&mut self, seen: Vec<(Demand, u64)>) {
        let mut counts: BTreeMap<Demand, u64> = BTreeMap::new();
        for (demand, count) in seen {
            *counts.entry(demand).or_default() += count;
        }
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        self.demands = counts.map(|(demand, count)| (demand, count.min(u32::MAX.into()) as u32)).collect();
        // Stable, so that equally frequent ones stay in their order.
        self.demands.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        self.demands.truncate(DEMANDS);
        (self.parts, self.part_of) = (Vec::new(), Vec::new());
        for (demand, _) in &self.demands {
            let part = Part { milli: demand.milli, kinds: demand.kinds };
            let at = self.parts.iter().position(|known| *known == part).unwrap_or(self.parts.len());
            if at == self.parts.len() {
                self.parts.push(part);
            }
            self.part_of.push(at as u16);
        }
    }

    /// How many of each demand would fit on a host one after the other: [`Bin::capacity`] for all of them.
    pub(super) fn capacities(&self, bin: &Bin) -> Box<[u16]> {
        let parts: SmallVec<[u32; 64]> = self.parts.iter().map(|part| bin.parts(part.milli, part.kinds)).collect();
        let capacity = |((demand, _), &part): (&(Demand, u32), &u16)| {
            bin.capacity_of_parts(demand, parts[usize::from(part)]).min(u16::MAX.into()) as u16
        };
        self.demands.iter().zip(&self.part_of).map(capacity).collect()
    }

    /// The most frequent first.
    pub fn demands(&self) -> &[(Demand, u32)] {
        &self.demands
    }
}
