//! Bugs that were found once, each by the name of what must hold.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gantry_fleet::{Answer, FEATURE_LEVEL_MAX, Fleet, LayerReport, MetaRow, Row};
use gantry_types::{
    Device, DeviceShare, Digest, GpuShape, HostId, HostSpec, Image, Layer, LayerState, Phase, Plan, Refused,
    Reservation, Shape, limits,
};

fn spec(name: &str) -> HostSpec {
    HostSpec {
        name: name.into(),
        region: "region".into(),
        zone: "zone".into(),
        cpu_shared_milli: 8_000,
        memory_bytes: 1 << 30,
        devices: vec![Device { index: 0, kind: "a".into(), memory_bytes: 1, ..Device::default() }],
        ..HostSpec::default()
    }
}

fn digest(n: u32) -> Digest {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Digest(bytes)
}

fn report(layers: std::ops::Range<u32>, state: LayerState) -> LayerReport {
    LayerReport { present: layers.map(|n| (digest(n), 1, state)).collect(), ..LayerReport::default() }
}

#[test]
fn a_delta_about_known_layers_does_not_count_them_twice() {
    let mut fleet = Fleet::default();
    let host = fleet.register_host(spec("h")).unwrap();
    let limit = limits::LAYERS_PER_HOST as u32;
    fleet.report_layers(host, &report(0..limit, LayerState::Pulling)).unwrap();
    fleet.report_layers(host, &report(0..100, LayerState::Unpacked)).unwrap();
    let over = fleet.report_layers(host, &report(limit - 1..limit + 1, LayerState::Unpacked));
    assert!(matches!(over, Err(Refused::Full { .. })), "{over:?}");
    assert_eq!(fleet.host(host).unwrap().layers().len(), limits::LAYERS_PER_HOST);
    fleet.check().unwrap();
}

#[test]
fn sizes_of_layers_cannot_overflow_their_sum() {
    let mut fleet = Fleet::default();
    let host = fleet.register_host(spec("h")).unwrap();
    let layers = (0..limits::LAYERS_PER_IMAGE as u32).map(|n| Layer {
        digest: digest(n).0.to_vec(),
        size_bytes: limits::SIZE_BYTES,
        diff_id: Vec::new(),
    });
    let image = |layers: Vec<Layer>| Image {
        reference: "huge".into(),
        digest: digest(0).0.to_vec(),
        platform: "linux/amd64".into(),
        layers,
    };
    let refused = fleet.record_image(image(layers.clone().collect()));
    assert!(matches!(refused, Err(Refused::Invalid { field: "image.layers.size_bytes", .. })), "{refused:?}");
    let largest = layers.map(|layer| Layer { size_bytes: limits::LAYER_BYTES, ..layer });
    fleet.record_image(image(largest.collect())).unwrap();
    fleet.report_layers(host, &report(0..limits::LAYERS_PER_IMAGE as u32, LayerState::Blob)).unwrap();
    assert!(
        limits::LAYERS_PER_HOST as u64 * limits::LAYER_BYTES <= limits::SIZE_BYTES,
        "a host full of layers overflows"
    );
    fleet.check().unwrap();
}

#[test]
fn the_sizes_of_an_image_are_those_of_its_manifest() {
    for said in [0, 1, limits::LAYER_BYTES] {
        let mut fleet = Fleet::default();
        let host = fleet.register_host(spec("h")).unwrap();
        let present = vec![(digest(0), said, LayerState::Blob)];
        fleet.report_layers(host, &LayerReport { present, ..LayerReport::default() }).unwrap();
        let image = |reference: &str, size_bytes| Image {
            reference: reference.into(),
            digest: digest(9).0.to_vec(),
            platform: "linux/amd64".into(),
            layers: vec![Layer { digest: digest(0).0.to_vec(), size_bytes, diff_id: Vec::new() }],
        };
        fleet.record_image(image("one", 500)).unwrap();
        // Each manifest counts by its own word.
        fleet.record_image(image("other", 600)).unwrap();
        let mut restored = Fleet::default();
        fleet.rows().for_each(|row| restored.load(row).unwrap());
        for fleet in [&fleet, &restored] {
            for (reference, size_bytes) in [("one", 500), ("other", 600)] {
                let entry = fleet.image(reference).unwrap();
                assert_eq!((entry.size_bytes, entry.layers[0].size_bytes), (size_bytes, size_bytes), "{said}");
            }
            fleet.check().unwrap();
        }
    }
}

#[test]
fn a_removed_host_is_kept_while_an_answer_names_it() {
    let mut fleet = Fleet::default();
    fleet.begin(1, 1_000);
    let host = fleet.register_host(spec("h")).unwrap();
    for n in 0..10 {
        fleet.remember(&format!("r{n}"), n, Answer::Done(true));
    }
    fleet.remove_host(host).unwrap();
    fleet.begin(2, 1_000 + limits::REQUEST_MEMORY_MS + 1);
    fleet.forget_requests(9);
    fleet.forget_removed_hosts();
    assert!(fleet.host_spec(host).is_some(), "an answer may still name the host");
    fleet.forget_requests(9);
    fleet.forget_removed_hosts();
    assert!(fleet.host_spec(host).is_none());
}

#[test]
fn a_state_of_a_newer_feature_level_is_not_loaded() {
    let row = MetaRow {
        feature_level: FEATURE_LEVEL_MAX + 1,
        next_host: 1,
        next_grant: 1,
        next_volume: 1,
        ..MetaRow::default()
    };
    assert!(Fleet::default().load(Row::Meta(row)).is_err());
    Fleet::default().load(Row::Meta(MetaRow { feature_level: FEATURE_LEVEL_MAX, ..row })).unwrap();
}

#[test]
fn a_share_of_a_device_that_is_not_there_breaks_an_invariant() {
    let mut fleet = Fleet::default();
    let host = fleet.register_host(spec("h")).unwrap();
    assert!(loaded(&fleet, host, DeviceShare { index: 0, milli: 1_000 }).check().is_ok());
    for share in [DeviceShare { index: 1, milli: 1_000 }, DeviceShare { index: 0, milli: 0 }] {
        let broken = loaded(&fleet, host, share).check();
        assert!(broken.as_ref().is_err_and(|what| what.starts_with("S1")), "{share:?}: {broken:?}");
    }
}

/// The fleet with one more reservation, loaded as from a table that holds it.
fn loaded(fleet: &Fleet, host: HostId, share: DeviceShare) -> Fleet {
    let gpu = GpuShape { kinds: Vec::new(), count: 1, milli: share.milli, ..GpuShape::default() };
    let reservation = Reservation {
        id: 1,
        fence: 1,
        app: "app".into(),
        shape: Shape { gpu: Some(gpu), ..Shape::default() },
        plan: Plan { host, devices: vec![share], ..Plan::default() },
        phase: Phase::Allocated as i32,
        ..Reservation::default()
    };
    let mut loaded = Fleet::default();
    for row in fleet.rows() {
        let row = if let Row::Meta(meta) = row { Row::Meta(MetaRow { next_grant: 2, ..meta }) } else { row };
        loaded.load(row).unwrap();
    }
    loaded.load(Row::Reservation(Arc::new(reservation))).unwrap();
    loaded
}
