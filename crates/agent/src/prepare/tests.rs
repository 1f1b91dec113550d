//! Preparations, as looks at a store show them.

use std::sync::Arc;

use super::*;
use crate::store::{Blob, Content, Ingest};

const S: Nanos = 1_000_000_000;
const MIB: u64 = 1 << 20;

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

/// Layers 1, 2, ... of 10, 20, ... MiB; their contents are 101, 102, ..., their chains 201, 202, ...
fn manifest(layers: u8) -> Arc<Manifest> {
    let layer = |n: u8| Layer {
        digest: digest(n),
        size_bytes: u64::from(n) * 10 * MIB,
        content: Some(Content { diff_id: digest(100 + n), chain: digest(200 + n) }),
    };
    Arc::new(Manifest { platform: "linux/amd64".to_owned(), layers: (1..=layers).map(layer).collect() })
}

/// A store with one manifest, 90, that the name `app` leads to.
fn store(layers: u8) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.images.insert("app".to_owned(), digest(90));
    namespace.manifests.insert(digest(90), manifest(layers));
    namespace
}

fn blob(namespace: &mut Namespace, number: u8, created: Nanos) {
    namespace.blobs.insert(digest(number), Blob { size_bytes: 1, created, is_pulled: true, ..Blob::default() });
}

fn unpacked(namespace: &mut Namespace, number: u8, done: Nanos) {
    namespace.chains.insert(digest(200 + number), done);
}

fn look(tracker: &mut Tracker, at: Nanos, namespace: &Namespace) -> News {
    tracker.look(at, &Contents::from([("default".to_owned(), namespace.clone())]))
}

/// A pull of two layers, of which the first lies there unpacked, looked at every half second.
#[test]
fn a_pull_is_measured_from_its_first_byte_to_the_last_layer_unpacked() {
    let mut tracker = Tracker::default();
    let mut now = Namespace::default();
    blob(&mut now, 1, S);
    unpacked(&mut now, 1, 2 * S);
    assert_eq!(look(&mut tracker, 99 * S, &now), News::default());
    now = Namespace { blobs: now.blobs, chains: now.chains, ..store(2) };
    now.images.clear();
    blob(&mut now, 90, 100 * S);
    now.ingests.push(Ingest { digest: digest(2), fetched_bytes: MIB, total_bytes: 0, started: 101 * S });
    let begun = look(&mut tracker, 102 * S, &now).begun;
    assert_eq!(begun, [Begun { namespace: "default".to_owned(), references: vec![], digest: digest(90) }]);
    assert_eq!(look(&mut tracker, 103 * S, &now), News::default(), "it is said once");
    now.ingests.clear();
    blob(&mut now, 2, 103 * S);
    now.unpacking.insert(digest(202), 104 * S);
    assert_eq!(look(&mut tracker, 105 * S, &now), News::default());
    unpacked(&mut now, 2, 108 * S);
    assert_eq!(look(&mut tracker, 109 * S, &now), News::default(), "nothing stands for it yet");
    now.images.insert("app".to_owned(), digest(90));
    let prepared = look(&mut tracker, 110 * S, &now).prepared;
    let observed = PullObservation {
        fetched_bytes: 20 * MIB,
        fetch_ms: 2_000,
        streams: 1,
        unpacked_bytes: 20 * MIB,
        unpack_ms: 4_000,
    };
    let expected = Prepared {
        namespace: "default".to_owned(),
        references: vec!["app".to_owned()],
        digest: digest(90),
        took: 8 * S,
        layers: 2,
        found: 1,
        fetched_bytes: 20 * MIB,
        observed,
    };
    assert_eq!(prepared, [expected]);
    assert_eq!(look(&mut tracker, 111 * S, &now), News::default(), "it is measured once");
}

#[test]
fn what_comes_between_two_looks_is_measured_by_the_times_in_the_store() {
    let mut tracker = Tracker::default();
    look(&mut tracker, 10 * S, &Namespace::default());
    let mut now = store(2);
    for (number, done) in [(90, 13), (1, 11), (2, 12)] {
        blob(&mut now, number, done * S);
    }
    unpacked(&mut now, 1, 14 * S);
    unpacked(&mut now, 2, 17 * S);
    let prepared = look(&mut tracker, 20 * S, &now).prepared.remove(0);
    assert_eq!((prepared.took, prepared.found), (6 * S, 0));
    let seen = prepared.observed;
    assert_eq!((seen.fetched_bytes, seen.fetch_ms), (0, 0), "nobody saw when it began");
    assert_eq!((seen.unpacked_bytes, seen.unpack_ms), (30 * MIB, 6_000));
}

#[test]
fn layers_that_come_looks_before_their_manifest_are_new() {
    let mut tracker = Tracker::default();
    let mut now = Namespace::default();
    look(&mut tracker, 10 * S, &now);
    for (number, done, seen) in [(1, 11, 12), (2, 13, 14)] {
        blob(&mut now, number, done * S);
        now.blobs.get_mut(&digest(number)).unwrap().is_layer = true;
        assert_eq!(look(&mut tracker, seen * S, &now), News::default());
    }
    now = Namespace { blobs: now.blobs, ..store(2) };
    blob(&mut now, 90, 15 * S);
    unpacked(&mut now, 1, 16 * S);
    unpacked(&mut now, 2, 17 * S);
    let prepared = look(&mut tracker, 20 * S, &now).prepared.remove(0);
    assert_eq!((prepared.took, prepared.found), (6 * S, 0));
}

#[test]
fn layers_that_came_long_before_their_manifest_were_found() {
    let mut tracker = Tracker::default();
    let mut now = Namespace::default();
    look(&mut tracker, 10 * S, &now);
    blob(&mut now, 1, 11 * S);
    now.blobs.get_mut(&digest(1)).unwrap().is_layer = true;
    look(&mut tracker, 12 * S, &now);
    look(&mut tracker, 30 * S, &now);
    now = Namespace { blobs: now.blobs, ..store(2) };
    blob(&mut now, 2, 31 * S);
    blob(&mut now, 90, 32 * S);
    unpacked(&mut now, 1, 33 * S);
    unpacked(&mut now, 2, 34 * S);
    let prepared = look(&mut tracker, 40 * S, &now).prepared.remove(0);
    assert_eq!((prepared.took, prepared.found), (3 * S, 1));
}

/// While somebody brings layers that no manifest names, one image after another is pulled, and the second has the first's base.
#[test]
fn what_another_image_brought_was_found_though_unnamed_layers_come_all_the_time() {
    let mut tracker = Tracker::default();
    let mut now = Namespace::default();
    look(&mut tracker, 10 * S, &now);
    let stray = |now: &mut Namespace, number: u8, done: Nanos| {
        blob(now, number, done);
        now.blobs.get_mut(&digest(number)).unwrap().is_layer = true;
    };
    stray(&mut now, 71, 11 * S);
    look(&mut tracker, 12 * S, &now);
    now = Namespace { blobs: now.blobs, ..store(1) };
    now.images.clear();
    blob(&mut now, 90, 13 * S);
    blob(&mut now, 1, 14 * S);
    unpacked(&mut now, 1, 15 * S);
    stray(&mut now, 72, 15 * S);
    look(&mut tracker, 16 * S, &now);
    stray(&mut now, 73, 100 * S);
    now.manifests.insert(digest(91), manifest(2));
    now.images.insert("other".to_owned(), digest(91));
    now.ingests.push(Ingest { digest: digest(2), fetched_bytes: MIB, total_bytes: 0, started: 101 * S });
    blob(&mut now, 91, 101 * S);
    look(&mut tracker, 101 * S, &now);
    now.ingests.clear();
    blob(&mut now, 2, 103 * S);
    unpacked(&mut now, 2, 104 * S);
    let prepared = look(&mut tracker, 105 * S, &now).prepared.remove(0);
    assert_eq!((prepared.found, prepared.fetched_bytes, prepared.took), (1, 20 * MIB, 3 * S));
    assert_eq!((prepared.observed.fetched_bytes, prepared.observed.fetch_ms), (20 * MIB, 2_000));
}

#[test]
fn what_lay_there_at_the_start_is_not_measured_and_what_is_unpacked_later_is() {
    let mut tracker = Tracker::default();
    let mut now = store(2);
    for number in [90, 1, 2] {
        blob(&mut now, number, S);
    }
    let mut ready = now.clone();
    unpacked(&mut ready, 1, 2 * S);
    unpacked(&mut ready, 2, 3 * S);
    assert_eq!(look(&mut Tracker::default(), 10 * S, &ready), News::default());
    look(&mut tracker, 10 * S, &now);
    look(&mut tracker, 20 * S, &now);
    unpacked(&mut now, 1, 31 * S);
    assert_eq!(look(&mut tracker, 32 * S, &now).begun.len(), 1);
    unpacked(&mut now, 2, 33 * S);
    let prepared = look(&mut tracker, 34 * S, &now).prepared.remove(0);
    assert_eq!((prepared.took, prepared.found, prepared.fetched_bytes), (2 * S, 2, 0));
}

#[test]
fn a_pull_that_was_given_up_does_not_make_the_next_one_long() {
    let mut tracker = Tracker::default();
    look(&mut tracker, S, &Namespace::default());
    let mut now = store(1);
    blob(&mut now, 90, 2 * S);
    look(&mut tracker, 3 * S, &now);
    look(&mut tracker, 1_000 * S, &now);
    look(&mut tracker, 2_000 * S, &now);
    blob(&mut now, 1, 2_001 * S);
    unpacked(&mut now, 1, 2_002 * S);
    assert_eq!(look(&mut tracker, 2_003 * S, &now).prepared[0].took, S);
}

#[test]
fn an_image_that_is_deleted_and_pulled_again_is_measured_again() {
    let mut tracker = Tracker::default();
    let mut now = store(1);
    blob(&mut now, 90, S);
    blob(&mut now, 1, S);
    unpacked(&mut now, 1, 2 * S);
    look(&mut tracker, 3 * S, &now);
    look(&mut tracker, 4 * S, &Namespace::default());
    for number in [90, 1] {
        blob(&mut now, number, 5 * S);
    }
    unpacked(&mut now, 1, 7 * S);
    assert_eq!(look(&mut tracker, 8 * S, &now).prepared[0].took, 2 * S);
}
