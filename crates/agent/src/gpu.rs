//! The GPUs of a host: from what NVML says of them to the devices that are offered.
//!
//! - a GPU is one device, with NVML's index; its kind is its product's name without what does not tell kinds apart
//! - a GPU in MIG mode is offered as its slices, each a device with a kind of its own, such as `H100.1g.10gb`
//! - GPUs that NVLinks join, directly or over switches, share a group number

mod kind;
mod nvml;

use std::collections::BTreeMap;

use gantry_types::{Device, limits};
use serde::{Deserialize, Serialize};

pub use kind::kind;
pub use nvml::read;

/// What NVML says of a host's GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Empty where there is no driver.
    pub driver: String,
    pub gpus: Vec<GpuReading>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuReading {
    pub index: u32,
    /// The product, `NVIDIA H100 80GB HBM3`.
    pub name: String,
    pub uuid: String,
    /// As `00000000:19:00.0`.
    pub bus_id: String,
    pub memory_bytes: u64,
    /// The mode that it is in now; true also where no slice was made yet.
    pub mig_enabled: bool,
    pub slices: Vec<SliceReading>,
    /// The far ends of its active NVLinks.
    pub links: Vec<LinkEnd>,
}

/// A MIG device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceReading {
    /// Among the slices of its GPU.
    pub index: u32,
    /// `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
    pub name: String,
    pub uuid: String,
    pub memory_bytes: u64,
}

/// What an NVLink leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkEnd {
    /// A GPU or a switch, by its bus id.
    At(String),
    /// NVML does not say, as in virtual machines whose links go to a switch outside of them. All such ends are taken for
    /// one switch.
    Hidden,
}

/// A device, with what only people on the host need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    pub index: u32,
    pub kind: String,
    pub memory_bytes: u64,
    pub parent: Option<u32>,
    pub nvlink_group: u32,
    pub uuid: String,
}

/// Slice `n` of GPU `g` is device `1000 * (g + 1) + n`: beyond every GPU's index, and the same after every restart.
const SLICES_FROM: u32 = 1_000;

/// The devices to offer, by index; at most [`limits::DEVICES_PER_HOST`]. `kinds` names kinds for products.
pub fn devices(reading: &Reading, kinds: &BTreeMap<String, String>) -> Vec<Found> {
    let groups = nvlink_groups(&reading.gpus);
    let kind_of = |product: &str| kinds.get(product).cloned().unwrap_or_else(|| kind(product));
    let mut devices = Vec::new();
    for (gpu, &nvlink_group) in reading.gpus.iter().zip(&groups) {
        if !gpu.mig_enabled {
            devices.push(Found {
                index: gpu.index,
                kind: kind_of(&gpu.name),
                memory_bytes: gpu.memory_bytes,
                parent: None,
                nvlink_group,
                uuid: gpu.uuid.clone(),
            });
            continue;
        }
        for slice in &gpu.slices {
            let profile = slice.name.rsplit_once(" MIG ").map_or(slice.name.as_str(), |(_, profile)| profile);
            devices.push(Found {
                index: SLICES_FROM * (gpu.index + 1) + slice.index,
                kind: format!("{}.{}", kind_of(&gpu.name), profile.replace(' ', "-")),
                memory_bytes: slice.memory_bytes,
                parent: Some(gpu.index),
                nvlink_group: 0,
                uuid: slice.uuid.clone(),
            });
        }
    }
    devices.sort_by_key(|device| device.index);
    devices.truncate(limits::DEVICES_PER_HOST);
    devices
}

impl From<&Found> for Device {
    fn from(found: &Found) -> Self {
        Self {
            index: found.index,
            kind: found.kind.clone(),
            memory_bytes: found.memory_bytes,
            parent: found.parent,
            nvlink_group: found.nvlink_group,
        }
    }
}

/// A group for each GPU: GPUs with a path of links between them have the same, numbered from 1 in the order of their first
/// GPU. 0 where no other GPU can be reached.
fn nvlink_groups(gpus: &[GpuReading]) -> Vec<u32> {
    // Each GPU begins as a component of its own; what a link leads to joins components.
    let mut component: Vec<usize> = (0..gpus.len()).collect();
    let mut first_at: BTreeMap<LinkEnd, usize> = BTreeMap::new();
    for (at, gpu) in gpus.iter().enumerate() {
        first_at.insert(LinkEnd::At(gpu.bus_id.to_lowercase()), at);
    }
    for (at, gpu) in gpus.iter().enumerate() {
        for end in &gpu.links {
            let end = match end {
                LinkEnd::At(bus_id) => LinkEnd::At(bus_id.to_lowercase()),
                LinkEnd::Hidden => LinkEnd::Hidden,
            };
            let other = *first_at.entry(end).or_insert(at);
            let (from, to) = (component[at], component[other]);
            component.iter_mut().filter(|one| **one == from).for_each(|one| *one = to);
        }
    }
    let mut numbers: BTreeMap<usize, u32> = BTreeMap::new();
    component
        .iter()
        .map(|one| {
            if component.iter().filter(|other| *other == one).count() < 2 {
                return 0;
            }
            let next = numbers.len() as u32 + 1;
            *numbers.entry(*one).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests;
