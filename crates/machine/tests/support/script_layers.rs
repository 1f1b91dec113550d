//! Layers, images, and what agents say of both. There are few of each, so that they meet.

use gantry_machine::{LayerPresent, ReportLayers};
use gantry_types::{Image, Layer, PullObservation, limits};
use proptest::{collection::vec, option, prelude::*};

fn digest() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![60 => (0..12u8).prop_map(|n| vec![n; 32]), 1 => Just(vec![1; 31])]
}

/// Few, so that layers come to have the same and one layer comes to have several.
fn diff_id() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![90 => Just(Vec::new()), 60 => (0..4u8).prop_map(|n| vec![100 + n; 32]), 1 => Just(vec![1; 33])]
}

pub fn observation() -> impl Strategy<Value = PullObservation> {
    let bytes = || {
        prop_oneof![
            20 => 1..4_000_000_000u64,
            3 => Just(0),
            2 => Just(1 << 19),
            1 => Just(limits::SIZE_BYTES),
            1 => Just(limits::SIZE_BYTES + 1)
        ]
    };
    let ms =
        || prop_oneof![20 => 1..30_000u64, 3 => Just(0), 1 => Just(limits::PULL_MS), 1 => Just(limits::PULL_MS + 1)];
    let streams = prop_oneof![20 => 0..7u32, 1 => Just(limits::STREAMS + 1)];
    ((bytes(), ms(), streams), (bytes(), ms())).prop_map(
        |((fetched_bytes, fetch_ms, streams), (unpacked_bytes, unpack_ms))| PullObservation {
            fetched_bytes,
            fetch_ms,
            streams,
            unpacked_bytes,
            unpack_ms,
        },
    )
}

fn layer_size() -> impl Strategy<Value = u64> {
    prop_oneof![40 => 1..1_000u64, 1 => Just(limits::LAYER_BYTES), 1 => Just(limits::LAYER_BYTES + 1)]
}

pub fn report() -> impl Strategy<Value = ReportLayers> {
    let state = prop_oneof![40 => 0..3i32, 1 => Just(3)];
    let hints = (option::of(0..1_000u64), proptest::bool::weighted(0.02), diff_id());
    let present = (digest(), layer_size(), state, hints).prop_map(
        |(digest, size_bytes, state, (fetched_bytes, oddly, diff_id))| {
            let fetched_bytes = fetched_bytes.filter(|_| state == 0 || oddly);
            let fetched_bytes = fetched_bytes.map(|bytes| if oddly { bytes } else { bytes.min(size_bytes) });
            LayerPresent { digest, size_bytes, state, fetched_bytes, diff_id }
        },
    );
    let oddly = proptest::bool::weighted(0.1);
    (any::<bool>(), vec(present, 0..6), vec(digest(), 0..4), oddly).prop_map(|(full, present, gone, oddly)| {
        let gone = if full && !oddly { Vec::new() } else { gone };
        ReportLayers { host: 0, full, present, gone }
    })
}

pub fn image() -> impl Strategy<Value = Image> {
    let layer = (digest(), layer_size(), diff_id()).prop_map(|(digest, size_bytes, diff_id)| Layer {
        digest,
        size_bytes,
        diff_id,
    });
    let reference = prop_oneof![20 => (0..3u8).prop_map(|n| format!("image-{n}")), 1 => Just(String::new())];
    (reference, vec(layer, 0..6)).prop_map(|(reference, layers)| Image {
        reference,
        digest: vec![7; 32],
        platform: "linux/amd64".to_owned(),
        layers,
    })
}
