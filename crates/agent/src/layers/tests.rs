//! Stores, and what is told of them.

use std::sync::Arc;

use proptest::{collection::btree_map, option, prelude::*};

use super::*;
use crate::store::{Blob, Content, Ingest, Layer, Manifest};

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

const MIB: u64 = 1 << 20;

/// An image of layers 1, 2, ..., whose contents are 101, 102, ... and whose chains are 201, 202, ...
fn manifest(layers: u8) -> Arc<Manifest> {
    let layer = |n: u8| Layer {
        digest: digest(n),
        size_bytes: u64::from(n) * MIB,
        content: Some(Content { diff_id: digest(100 + n), chain: digest(200 + n) }),
    };
    Arc::new(Manifest { platform: "linux/amd64".to_owned(), layers: (1..=layers).map(layer).collect() })
}

fn blob(number: u8) -> (Digest, Blob) {
    (digest(number), Blob { size_bytes: u64::from(number) * MIB, ..Blob::default() })
}

fn states(layers: &Layers) -> Vec<(u8, LayerState)> {
    layers.iter().map(|(digest, held)| (digest.0[0], held.state)).collect()
}

fn one(namespace: Namespace) -> Layers {
    layers(&Contents::from([("default".to_owned(), namespace)]))
}

#[test]
fn a_layer_is_as_far_as_its_blob_and_its_chain_are() {
    let mut namespace = Namespace { manifests: [(digest(90), manifest(4))].into(), ..Namespace::default() };
    namespace.blobs.extend([blob(1), blob(2)]);
    namespace.chains.insert(digest(201), 1);
    let ingest = Ingest { digest: digest(3), fetched_bytes: MIB, total_bytes: 3 * MIB, started: 1 };
    namespace.ingests.push(ingest);
    let layers = one(namespace);
    use LayerState::{Blob, Pulling, Unpacked};
    assert_eq!(states(&layers), [(1, Unpacked), (2, Blob), (3, Pulling)]);
    assert_eq!(layers[&digest(3)].fetched_bytes, Some(MIB));
    assert_eq!(layers[&digest(1)].diff_id, Some(digest(101)));
}

#[test]
fn an_unpacked_layer_needs_no_blob() {
    let mut namespace = Namespace { manifests: [(digest(90), manifest(1))].into(), ..Namespace::default() };
    namespace.chains.insert(digest(201), 1);
    assert_eq!(states(&one(namespace)), [(1, LayerState::Unpacked)]);
}

#[test]
fn documents_are_no_layers_and_unnamed_layers_are() {
    let mut namespace = Namespace::default();
    namespace.blobs.extend([blob(90), blob(91)]);
    let (key, unnamed) = blob(7);
    namespace.blobs.insert(key, super::super::store::Blob { is_layer: true, ..unnamed });
    let (key, unpacked) = blob(8);
    namespace.blobs.insert(key, super::super::store::Blob { diff_id: Some(digest(108)), ..unpacked });
    assert_eq!(states(&one(namespace)), [(7, LayerState::Blob), (8, LayerState::Blob)]);
}

#[test]
fn of_several_namespaces_the_furthest_counts() {
    let mut near = Namespace { manifests: [(digest(90), manifest(2))].into(), ..Namespace::default() };
    near.blobs.extend([blob(1), blob(2)]);
    let mut far = near.clone();
    near.chains.insert(digest(201), 1);
    far.chains.insert(digest(202), 1);
    let both = layers(&Contents::from([("a".to_owned(), near), ("b".to_owned(), far)]));
    assert_eq!(states(&both), [(1, LayerState::Unpacked), (2, LayerState::Unpacked)]);
}

#[test]
fn a_pull_says_at_times_how_far_it_is() {
    let at = |fetched_bytes| {
        let held = Held {
            size_bytes: 80 * MIB,
            state: LayerState::Pulling,
            fetched_bytes: Some(fetched_bytes),
            diff_id: None,
        };
        Layers::from([(digest(1), held)])
    };
    assert_eq!(next_report(Some(&at(0)), &at(10 * MIB)), None);
    let (report, after) = next_report(Some(&at(0)), &at(10 * MIB + 1)).unwrap();
    assert_eq!((report.present.len(), after), (1, at(10 * MIB + 1)));
}

#[test]
fn what_is_more_than_one_report_follows() {
    let held = Held { size_bytes: 1, state: LayerState::Blob, fetched_bytes: None, diff_id: None };
    let many: Layers = (0..limits::LAYERS_PER_REPORT as u32 + 5)
        .map(|n| {
            let mut digest = Digest([0; 32]);
            digest.0[..4].copy_from_slice(&n.to_be_bytes());
            (digest, held)
        })
        .collect();
    let (full, told) = next_report(None, &many).unwrap();
    let (rest, all) = next_report(Some(&told), &many).unwrap();
    assert_eq!((full.full, full.present.len()), (true, limits::LAYERS_PER_REPORT));
    assert_eq!((rest.full, rest.present.len()), (false, 5));
    assert_eq!((next_report(Some(&all), &many), all.len()), (None, many.len()));
}

fn held() -> impl Strategy<Value = Held> {
    (1u64..1_000, 0usize..3, 0u64..1_000, option::of(0u8..4)).prop_map(|(size_bytes, state, fetched, diff_id)| {
        let state = [LayerState::Pulling, LayerState::Blob, LayerState::Unpacked][state];
        let fetched_bytes = (state == LayerState::Pulling).then_some(fetched.min(size_bytes));
        Held { size_bytes, state, fetched_bytes, diff_id: diff_id.map(digest) }
    })
}

/// What the cluster knows of a host, and how it follows reports.
fn follow(known: &mut Layers, report: &LayerReport) {
    if report.full {
        known.clear();
    }
    for layer in &report.present {
        let PresentLayer { size_bytes, state, fetched_bytes, diff_id, .. } = *layer;
        known.insert(layer.digest, Held { size_bytes, state, fetched_bytes, diff_id });
    }
    report.gone.iter().for_each(|digest| assert!(known.remove(digest).is_some(), "{digest} was never there"));
}

proptest! {
    /// Whatever happens to a store, whoever hears all reports knows what is in it.
    #[test]
    fn reports_lead_to_what_is_there(moments in prop::collection::vec(btree_map(0u8..12, held(), 0..8), 1..8)) {
        let (mut told, mut known) = (None, Layers::new());
        for moment in moments {
            let now: Layers = moment.into_iter().map(|(n, held)| (digest(n), held)).collect();
            while let Some((report, after)) = next_report(told.as_ref(), &now) {
                follow(&mut known, &report);
                prop_assert_eq!(&known, &after, "what is taken to be known is known");
                told = Some(after);
            }
            let exact = |held: &Held| Held { fetched_bytes: None, ..*held };
            prop_assert_eq!(known.iter().map(|(d, h)| (*d, exact(h))).collect::<Layers>(),
                now.iter().map(|(d, h)| (*d, exact(h))).collect::<Layers>());
            for (digest, held) in &now {
                let known = known[digest].fetched_bytes.unwrap_or(0);
                prop_assert!(known.abs_diff(held.fetched_bytes.unwrap_or(0)) <= held.size_bytes / PROGRESS_PARTS);
            }
        }
    }
}
