//! What is known of layers beyond where they lie: how far pulls are, and which layers are the same.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{Fleet, LayerReport, Progress, Pull, Row};
use gantry_types::{Digest, HostSpec, Image, Layer, LayerId, LayerState, limits};

fn digest(n: u32) -> Digest {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Digest(bytes)
}

fn fleet() -> Fleet {
    let spec = |name: &str| HostSpec { name: name.into(), region: "r".into(), zone: "z".into(), ..HostSpec::default() };
    let mut fleet = Fleet::default();
    fleet.begin(1, 1_000);
    fleet.register_host(spec("a")).unwrap();
    fleet.register_host(spec("b")).unwrap();
    fleet
}

/// Layers as digest and diff id; 0 for none.
fn record(fleet: &mut Fleet, reference: &str, layers: &[(u32, u32)]) {
    let diff_id = |n| if n == 0 { Vec::new() } else { digest(n).0.to_vec() };
    let layer = |&(n, diff): &(u32, u32)| Layer { digest: digest(n).0.to_vec(), size_bytes: 9, diff_id: diff_id(diff) };
    let layers = layers.iter().map(layer).collect();
    let (reference, platform) = (reference.to_owned(), String::new());
    fleet.record_image(Image { reference, digest: vec![7; 32], platform, layers }).unwrap();
    fleet.check().unwrap();
}

fn report(fleet: &mut Fleet, host: u32, report: &LayerReport) {
    fleet.report_layers(host, report).unwrap();
    fleet.check().unwrap();
    let mut restored = Fleet::default();
    fleet.rows().for_each(|row| restored.load(row).unwrap());
    assert!(fleet.rows().eq(restored.rows()), "what was restored differs");
    assert_eq!(restored.host(host).unwrap().pulls(), fleet.host(host).unwrap().pulls());
}

fn present(n: u32, state: LayerState) -> LayerReport {
    LayerReport { present: vec![(digest(n), 9, state)], ..LayerReport::default() }
}

fn number(fleet: &Fleet, n: u32) -> LayerId {
    let named = |row| match row {
        Row::Layer(row) if row.digest == digest(n).0 => Some(row.layer),
        _ => None,
    };
    fleet.rows().find_map(named).unwrap()
}

/// As the names of layers.
fn twins(fleet: &Fleet, n: u32) -> Vec<Digest> {
    fleet.twins(number(fleet, n)).iter().map(|&layer| fleet.layer_digest(layer)).collect()
}

#[test]
fn a_pull_is_as_far_as_was_last_said() {
    let mut fleet = fleet();
    let pulls = |fleet: &Fleet| fleet.host(1).unwrap().pulls().to_vec();
    let is = |fleet: &Fleet, n, progress: Option<(u64, u64)>| {
        let progress = progress.map(|(fetched_bytes, at)| Progress { fetched_bytes, at });
        assert_eq!(pulls(fleet), [Pull { layer: number(fleet, n), progress }]);
    };
    report(&mut fleet, 1, &present(1, LayerState::Pulling));
    is(&fleet, 1, None);
    fleet.begin(2, 3_000);
    let far = |bytes| LayerReport { fetched: vec![(digest(1), bytes)], ..present(1, LayerState::Pulling) };
    report(&mut fleet, 1, &far(4));
    is(&fleet, 1, Some((4, 3_000)));
    fleet.begin(3, 5_000);
    report(&mut fleet, 1, &present(2, LayerState::Unpacked));
    is(&fleet, 1, Some((4, 3_000)));
    report(&mut fleet, 1, &LayerReport { full: true, ..far(7) });
    is(&fleet, 1, Some((7, 5_000)));
    report(&mut fleet, 1, &present(1, LayerState::Blob));
    assert_eq!(pulls(&fleet), []);
    // It begins anew.
    report(&mut fleet, 1, &present(1, LayerState::Pulling));
    is(&fleet, 1, None);
    report(&mut fleet, 1, &LayerReport { gone: vec![digest(1)], ..LayerReport::default() });
    assert_eq!(pulls(&fleet), []);
}

#[test]
fn layers_of_one_diff_id_are_twins_while_something_says_so() {
    let mut fleet = fleet();
    record(&mut fleet, "gzip", &[(1, 100), (2, 101)]);
    assert_eq!((twins(&fleet, 1), fleet.twins_learnt()), (vec![], 0));
    record(&mut fleet, "zstd", &[(3, 100), (4, 102)]);
    assert_eq!(twins(&fleet, 1), [digest(1), digest(3)]);
    assert_eq!((twins(&fleet, 2), fleet.twins_learnt()), (vec![], 1));
    let said = LayerReport { diff_ids: vec![(digest(5), digest(100))], ..present(5, LayerState::Unpacked) };
    report(&mut fleet, 1, &said);
    assert_eq!(twins(&fleet, 3), [digest(1), digest(3), digest(5)]);
    record(&mut fleet, "zstd", &[(4, 102)]);
    assert_eq!(twins(&fleet, 5), [digest(1), digest(5)]);
    // The last host forgets the layer.
    report(&mut fleet, 1, &LayerReport { gone: vec![digest(5)], ..LayerReport::default() });
    assert_eq!((twins(&fleet, 1), fleet.twins_learnt()), (vec![], 4));
}

#[test]
fn a_layer_whose_content_is_in_dispute_is_nobodys_twin() {
    let mut fleet = fleet();
    record(&mut fleet, "image", &[(1, 100), (2, 100)]);
    assert_eq!(twins(&fleet, 1).len(), 2);
    let said = |diff| LayerReport { diff_ids: vec![(digest(2), digest(diff))], ..present(2, LayerState::Unpacked) };
    report(&mut fleet, 1, &said(101));
    assert_eq!((twins(&fleet, 1), twins(&fleet, 2)), (vec![], vec![]));
    // The first word stands while anybody holds the layer.
    report(&mut fleet, 2, &said(100));
    assert_eq!(twins(&fleet, 1), []);
    record(&mut fleet, "image", &[(1, 100), (2, 0)]);
    assert_eq!(twins(&fleet, 2), []);
    record(&mut fleet, "other", &[(3, 101)]);
    assert_eq!(twins(&fleet, 2), [digest(2), digest(3)]);
}

#[test]
fn of_many_twins_the_first_count() {
    let mut fleet = fleet();
    let layers: Vec<(u32, u32)> = (1..=limits::TWINS as u32 + 5).map(|n| (n, 100)).collect();
    record(&mut fleet, "many", &layers);
    let first: Vec<Digest> = (1..=limits::TWINS as u32).map(digest).collect();
    assert_eq!(twins(&fleet, 1), first);
    assert_eq!(twins(&fleet, limits::TWINS as u32 + 5), first);
}
