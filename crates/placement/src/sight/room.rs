//! Rooms and shapes as the outlook sees them.

use std::collections::BTreeSet;

use gantry_types::{CpuKind, Shape};

use super::rows::Rows;
use crate::{
    Room,
    devices::fitting,
    outlook::{Bin, Demand, Mix, Slot},
};

/// Further machines of the shape that would fit beside the first one, up to a bound.
pub(crate) fn more(shape: &Shape, room: &Room<'_>) -> u64 {
    let times = |have: u64, want: u64| have.checked_div(want).unwrap_or(u64::MAX);
    let by_cpu = times(room.free_cpu_milli(shape.cpu_kind()), shape.cpu_milli);
    let mut machines = by_cpu.min(times(room.free_memory_bytes(), shape.memory_bytes));
    if let Some(gpu) = &shape.gpu {
        let parts = fitting(gpu, room).map(|(free_milli, _)| u64::from(free_milli / gpu.milli.max(1)));
        machines = machines.min(parts.sum::<u64>() / u64::from(gpu.count.max(1)));
    }
    machines.saturating_sub(1).min(u64::from(u32::MAX))
}

/// The names of all kinds of devices, in order. Slices come behind whole GPUs: see [`demand`].
pub(super) fn kinds(rows: &Rows) -> Vec<String> {
    let devices = rows.offers().flat_map(|offer| &offer.devices);
    let kinds: BTreeSet<(bool, &str)> = devices.map(|device| (device.parent.is_some(), device.kind.as_str())).collect();
    kinds.into_iter().map(|(is_slice, kind)| if is_slice { format!("/{kind}") } else { kind.to_owned() }).collect()
}

/// A host's room as the outlook sees it.
pub(super) fn bin(mix: &Mix, room: &Room<'_>) -> Bin {
    let (offer, usage) = (&room.host.offer, room.usage);
    let cpu_milli = room.free_cpu_milli(CpuKind::Shared) + room.free_cpu_milli(CpuKind::Performance);
    let mut last: Option<(&str, bool, u8)> = None;
    let slots = offer.devices.iter().enumerate().map(|(at, device)| {
        let is_slice = device.parent.is_some();
        let kind = match last {
            Some((name, was_slice, kind)) if name == device.kind && was_slice == is_slice => kind,
            _ if is_slice => mix.kind(&format!("/{}", device.kind)),
            _ => mix.kind(&device.kind),
        };
        last = Some((&device.kind, is_slice, kind));
        Slot { kind, free_milli: usage.free_device_milli(at).min(u32::from(u16::MAX)) as u16 }
    });
    Bin::new(clamp(cpu_milli), clamp(room.free_memory_bytes() >> 20), slots)
}

/// A shape as the outlook sees it. Who names no kind gets no slice.
pub(super) fn demand(mix: &Mix, kinds: &[String], shape: &Shape) -> Demand {
    let mut demand =
        Demand { cpu_milli: clamp(shape.cpu_milli), memory_mib: clamp(shape.memory_bytes >> 20), ..Demand::default() };
    if let Some(gpu) = &shape.gpu {
        demand.devices = gpu.count.min(u32::from(u8::MAX)) as u8;
        demand.milli = gpu.milli.clamp(1, u32::from(u16::MAX)) as u16;
        let is_slice = |kind: &&String| kind.starts_with('/');
        if !gpu.kinds.is_empty() {
            let slices = gpu.kinds.iter().map(|kind| format!("/{kind}"));
            let known = gpu.kinds.iter().cloned().chain(slices).filter(|kind| kinds.contains(kind));
            let known: Vec<String> = known.collect();
            // Kinds that no host has are some kind too, and not any.
            let named = if known.is_empty() { &gpu.kinds } else { &known };
            demand.kinds = mix.kinds(named.iter().map(String::as_str));
        } else if kinds.iter().any(|kind| is_slice(&kind)) {
            demand.kinds = mix.kinds(kinds.iter().filter(|kind| !is_slice(kind)).map(String::as_str));
        }
    }
    demand.coarse()
}

fn clamp(value: u64) -> u32 {
    value.min(u64::from(u32::MAX)) as u32
}
