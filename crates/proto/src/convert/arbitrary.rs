//! Valid domain values, for the round-trip tests of every noun.

use gantry_types as types;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::{Just, Strategy, any, prop_oneof},
};
use types::limits;

use crate::convert::{LayerReport, PresentLayer};

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9é][a-z0-9 ./_-]{0,20}"
}

fn labels() -> impl Strategy<Value = Vec<types::Label>> {
    btree_map(name(), "[a-z0-9]{0,5}", 0..4)
        .prop_map(|labels| labels.into_iter().map(|(key, value)| types::Label { key, value }).collect())
}

fn reference() -> impl Strategy<Value = String> {
    "[a-z]{1,8}/[a-z]{1,8}:[0-9.]{1,5}"
}

pub(crate) fn shape() -> impl Strategy<Value = types::Shape> {
    let gpu = prop_oneof![(1..=64_u32, Just(types::WHOLE_GPU_MILLI)), (Just(1), 1..=types::WHOLE_GPU_MILLI)];
    let gpu = (gpu, vec(name(), 0..3), any::<bool>()).prop_map(|((count, milli), kinds, same_nvlink_group)| {
        types::GpuShape { kinds, count, milli, same_nvlink_group }
    });
    (0..2, 1..=limits::CPU_MILLI, 0..=limits::SIZE_BYTES, option::of(gpu))
        .prop_map(|(cpu_kind, cpu_milli, memory_bytes, gpu)| types::Shape { cpu_kind, cpu_milli, memory_bytes, gpu })
}

/// Of others than the machine itself, and near none that are to be apart.
fn affinity(prefix: &'static str) -> impl Strategy<Value = Vec<types::Affinity>> {
    let one = (any::<bool>(), "[a-z]{1,4}", 0..2).prop_map(move |(is_app, name, scope)| {
        let (app, group) = if is_app {
            (format!("{prefix}{name}"), String::new())
        } else {
            (String::new(), format!("{prefix}{name}"))
        };
        types::Affinity { app, group, scope }
    });
    vec(one, 0..3)
}

fn constraints() -> impl Strategy<Value = types::Constraints> {
    let fixed = (vec(name(), 0..3), labels(), labels(), prop_oneof![Just(String::new()), name()], any::<[bool; 2]>());
    let counted = (any::<[u32; 2]>(), prop_oneof![Just(String::new()), name()], affinity("+"), affinity("-"));
    (fixed, counted).prop_map(
        |(
            (regions, require_labels, avoid_labels, host, [unique_zone, unique_zone_app_wide]),
            ([max_per_host, max_per_zone], group, affinity, anti_affinity),
        )| types::Constraints {
            regions,
            require_labels,
            avoid_labels,
            host,
            volume: 0,
            unique_zone,
            unique_zone_app_wide,
            max_per_host,
            max_per_zone,
            group,
            affinity,
            anti_affinity,
            volume_name: String::new(),
        },
    )
}

pub(crate) fn place_request() -> impl Strategy<Value = types::PlaceRequest> {
    let ids = (name(), name(), prop_oneof![Just(String::new()), reference()]);
    let nameless = || Just(String::new());
    let volume = prop_oneof![
        (1..=limits::MACHINES_PER_REQUEST, Just(0), prop_oneof![nameless(), name()]),
        (Just(1), any::<u64>(), nameless())
    ];
    (ids, shape(), constraints(), volume, any::<(bool, bool)>(), 0..=limits::LEASE_MS).prop_map(
        |(ids, shape, constraints, (count, volume, volume_name), (all_or_nothing, image_blind), lease_ms)| {
            let (request_id, app, image) = ids;
            types::PlaceRequest {
                request_id,
                app,
                image,
                shape,
                constraints: types::Constraints {
                    volume,
                    volume_name,
                    unique_zone: false,
                    unique_zone_app_wide: false,
                    ..constraints
                },
                count,
                all_or_nothing,
                lease_ms,
                image_blind,
            }
        },
    )
}

pub(crate) fn volume_request() -> impl Strategy<Value = types::VolumeRequest> {
    let names = (name(), name(), name());
    let compute_image = prop_oneof![Just(String::new()), reference()];
    let hold = prop_oneof![(0..=limits::LEASE_MS, Just(false)), (Just(0), any::<bool>())];
    let rest = (hold, option::of(1..u64::MAX));
    (names, 1..=limits::SIZE_BYTES, constraints(), option::of(shape()), compute_image, rest).prop_map(
        |((request_id, app, name), size_bytes, constraints, compute, compute_image, (hold, fork_of))| {
            types::VolumeRequest {
                request_id,
                app,
                name,
                size_bytes,
                constraints,
                hold_ms: if compute.is_some() || fork_of.is_some() { hold.0 } else { 0 },
                no_hold: hold.1,
                compute,
                compute_image,
                fork_of: fork_of.unwrap_or_default(),
            }
        },
    )
}

pub(crate) fn host_spec() -> impl Strategy<Value = types::HostSpec> {
    let devices =
        btree_map(100..u32::MAX, (name(), 0..=limits::SIZE_BYTES, option::of(0..100_u32), any::<u32>()), 0..9)
            .prop_map(|devices| {
                let device = |(index, (kind, memory_bytes, parent, group)): (u32, (String, u64, Option<u32>, u32))| {
                    // A slice has a kind of its own, and is linked with none.
                    let (kind, nvlink_group) = if parent.is_some() { (format!("{kind}.1g"), 0) } else { (kind, group) };
                    types::Device { index, kind, memory_bytes, parent, nvlink_group }
                };
                devices.into_iter().map(device).collect()
            });
    let cpu = (0..=limits::CPU_MILLI, 0..=10_000_u32, 0..=limits::CPU_MILLI);
    let bytes = (0..=limits::SIZE_BYTES, 0..=limits::SIZE_BYTES, 0..=limits::SIZE_BYTES);
    ((name(), name(), name()), labels(), cpu, bytes, devices).prop_map(
        |((name, region, zone), labels, cpu, (memory_bytes, volume_bytes, cache_bytes), devices)| types::HostSpec {
            name,
            region,
            zone,
            labels,
            cpu_shared_milli: cpu.0,
            cpu_overcommit_percent: cpu.1,
            cpu_performance_milli: cpu.2,
            memory_bytes,
            volume_bytes,
            cache_bytes,
            devices,
        },
    )
}

pub(crate) fn image() -> impl Strategy<Value = types::Image> {
    let digest = || any::<[u8; 32]>().prop_map(|digest| digest.to_vec());
    let layer = (digest(), 0..=limits::LAYER_BYTES, prop_oneof![Just(Vec::new()), digest()])
        .prop_map(|(digest, size_bytes, diff_id)| types::Layer { digest, size_bytes, diff_id });
    (reference(), digest(), prop_oneof![Just(String::new()), name()], vec(layer, 1..6))
        .prop_map(|(reference, digest, platform, layers)| types::Image { reference, digest, platform, layers })
}

pub(crate) fn layer_report() -> impl Strategy<Value = LayerReport> {
    let state =
        prop_oneof![Just(types::LayerState::Pulling), Just(types::LayerState::Blob), Just(types::LayerState::Unpacked)];
    let digest = || any::<[u8; 32]>().prop_map(types::Digest);
    let hints = (option::of(0..=limits::LAYER_BYTES), option::of(digest()));
    let present = (digest(), 0..=limits::LAYER_BYTES, state, hints).prop_map(
        |(digest, size_bytes, state, (fetched_bytes, diff_id))| PresentLayer {
            digest,
            size_bytes,
            state,
            fetched_bytes: fetched_bytes
                .map(|bytes| bytes.min(size_bytes))
                .filter(|_| state == types::LayerState::Pulling),
            diff_id,
        },
    );
    (any::<bool>(), vec(present, 0..5), vec(digest(), 0..5)).prop_map(|(full, present, gone)| LayerReport {
        full,
        present,
        gone: if full { Vec::new() } else { gone },
    })
}
