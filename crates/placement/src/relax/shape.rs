//! A smaller machine.

use std::{cmp::Reverse, collections::BTreeSet};

use gantry_types::{CpuKind, GpuShape, PlaceRequest};

use super::{Near, Relaxation, Tiers};
use crate::{Quantity, Room, choose_devices, devices::fitting};

/// Kinds of GPU tried.
const KINDS_TRIED: usize = 64;
/// Kinds of GPU told in one change, those with the most hosts.
const KINDS_TOLD: usize = 8;

pub(super) const GPU_COUNT: Relaxation = Relaxation {
    constraint: "gpu",
    field: "shape.gpu.count",
    show: |request| gpu_of(request).map_or_else(String::new, |gpu| gpu.count.to_string()),
    less: |near| {
        let most = near.have(|have| if let Quantity::Devices { count, .. } = have { Some(*count) } else { None }).max();
        with_gpu(near, most.filter(|&most| most > 0), |gpu, most| gpu.count = most)
    },
};
/// Of one GPU only: several are whole.
pub(super) const GPU_MILLI: Relaxation = Relaxation {
    constraint: "gpu",
    field: "shape.gpu.milli",
    show: |request| gpu_of(request).map_or_else(String::new, |gpu| gpu.milli.to_string()),
    less: |near| {
        let share = gpu_of(near.request).filter(|gpu| gpu.count == 1).map(|gpu| GpuShape { milli: 1, ..gpu.clone() });
        let most_free = share.and_then(|share| {
            let most_free = |room: &Room<'_>| fitting(&share, room).map(|(free_milli, _)| free_milli).max();
            near.hosts().filter_map(|host| near.in_room(host, most_free)).max()
        });
        with_gpu(near, most_free, |gpu, milli| gpu.milli = milli)
    },
};
pub(super) const GPU_KINDS: Relaxation = Relaxation {
    constraint: "gpu",
    field: "shape.gpu.kinds",
    show: |request| match gpu_of(request) {
        Some(gpu) if !gpu.kinds.is_empty() => gpu.kinds.join(", "),
        _ => "any".to_owned(),
    },
    less: |near| {
        with_gpu(near, Some(other_kinds(near)).filter(|kinds| !kinds.is_empty()), |gpu, kinds| gpu.kinds = kinds)
    },
};
pub(super) const GPU_LINKED: Relaxation = Relaxation {
    constraint: "gpu",
    field: "shape.gpu.same_nvlink_group",
    show: |request| gpu_of(request).is_some_and(|gpu| gpu.same_nvlink_group).to_string(),
    less: |near| {
        let linked = gpu_of(near.request).is_some_and(GpuShape::must_be_linked);
        with_gpu(near, linked.then_some(false), |gpu, linked| gpu.same_nvlink_group = linked)
    },
};
pub(super) const CPU: Relaxation = Relaxation {
    constraint: "cpu",
    field: "shape.cpu_milli",
    show: |request| request.shape.cpu_milli.to_string(),
    less: |near| {
        let most = near.have(|have| if let Quantity::CpuMilli(milli) = have { Some(*milli) } else { None }).max();
        near.with_value(most, |request, most| request.shape.cpu_milli = most)
    },
};
pub(super) const CPU_KIND: Relaxation = Relaxation {
    constraint: "cpu",
    field: "shape.cpu_kind",
    show: |request| match request.shape.cpu_kind() {
        CpuKind::Shared => "shared".to_owned(),
        CpuKind::Performance => "performance".to_owned(),
    },
    less: |near| {
        let other = match near.request.shape.cpu_kind() {
            CpuKind::Shared => CpuKind::Performance,
            CpuKind::Performance => CpuKind::Shared,
        };
        near.with_value(Some(other), |request, kind| request.shape.set_cpu_kind(kind))
    },
};
pub(super) const MEMORY: Relaxation = Relaxation {
    constraint: "memory",
    field: "shape.memory_bytes",
    show: |request| request.shape.memory_bytes.to_string(),
    less: |near| {
        let most = near.have(|have| if let Quantity::Bytes(bytes) = have { Some(*bytes) } else { None }).max();
        near.with_value(most, |request, most| request.shape.memory_bytes = most)
    },
};

fn gpu_of(request: &PlaceRequest) -> Option<&GpuShape> {
    request.shape.gpu.as_ref()
}

/// The request with a value in its GPUs; nothing where it has none, or there is no value.
fn with_gpu<T>(near: &Near<'_>, value: Option<T>, set: fn(&mut GpuShape, T)) -> Tiers {
    near.with_value(value, |request, value| {
        if let Some(gpu) = &mut request.shape.gpu {
            set(gpu, value);
        }
    })
}

/// Kinds that were not asked for and of which a host has enough, those of the most hosts first. Slices are kinds too.
fn other_kinds(near: &Near<'_>) -> Vec<String> {
    let Some(gpu) = gpu_of(near.request) else { return Vec::new() };
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for device in near.hosts().flat_map(|host| &host.offer.devices).filter(|device| !gpu.accepts(device)) {
        if kinds.len() < KINDS_TRIED {
            kinds.insert(&device.kind);
        }
    }
    let hosts_with = |kind: &str| {
        let of_kind = GpuShape { kinds: vec![kind.to_owned()], ..gpu.clone() };
        let has = |room: &Room<'_>| choose_devices(&of_kind, room, None).is_some();
        near.hosts().filter(|host| near.in_room(host, has)).count()
    };
    let mut kinds: Vec<(&str, usize)> = kinds.into_iter().map(|kind| (kind, hosts_with(kind))).collect();
    kinds.retain(|&(_, hosts)| hosts > 0);
    kinds.sort_by_key(|&(_, hosts)| Reverse(hosts));
    kinds.into_iter().take(KINDS_TOLD).map(|(kind, _)| kind.to_owned()).collect()
}
