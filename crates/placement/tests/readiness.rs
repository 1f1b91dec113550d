//! The start-time estimate over a fleet: what hosts hold, what comes to them, and how long that counts.

#[path = "support/script.rs"]
#[allow(dead_code, reason = "only the names of layers and images are used here")]
mod script;

use gantry_fleet::{EndReason, Fleet, Grant, Host, LayerReport};
use gantry_placement::readiness::{Estimate, PullQueue};
use gantry_types::{Digest, HostSpec, Image, Layer, LayerState, PlaceRequest, Plan, PullObservation, ReservationId};
use script::digest;

const MB: u64 = 1_000_000;
/// At the published rates, a layer of this size takes ten seconds to fetch; and 10.136987 s to unpack.
const LAYER: u64 = 740 * MB;
const FETCH_US: u64 = 10_000_000;
const UNPACK_US: u64 = 10_136_987;

/// One host, and images of layers of one size.
struct World {
    fleet: Fleet,
    rev: u64,
}

impl World {
    fn new() -> Self {
        let mut fleet = Fleet::default();
        fleet.begin(1, 1_000_000_000);
        let spec = HostSpec {
            name: "host".into(),
            region: "region".into(),
            zone: "zone".into(),
            memory_bytes: 1 << 40,
            ..HostSpec::default()
        };
        fleet.register_host(spec).expect("it is sane");
        Self { fleet, rev: 1 }
    }

    fn host(&self) -> &Host {
        self.fleet.host(1).expect("it was registered")
    }

    fn record(&mut self, reference: &str, layers: &[u8]) {
        self.record_with(reference, layers, |_| Vec::new());
    }

    fn record_with(&mut self, reference: &str, layers: &[u8], diff_id: impl Fn(u8) -> Vec<u8>) {
        let layer = |&n: &u8| Layer { digest: digest(n).0.to_vec(), size_bytes: LAYER, diff_id: diff_id(n) };
        let layers = layers.iter().map(layer).collect();
        let (reference, platform) = (reference.to_owned(), "linux/amd64".to_owned());
        self.fleet.record_image(Image { reference, digest: vec![9; 32], platform, layers }).expect("it is sane");
    }

    /// Replaces what the host holds.
    fn report(&mut self, present: &[(u8, LayerState)]) {
        let present: Vec<(Digest, u64, LayerState)> =
            present.iter().map(|&(n, state)| (digest(n), LAYER, state)).collect();
        let report = LayerReport { full: true, present, ..LayerReport::default() };
        self.fleet.report_layers(1, &report).expect("it is sane");
    }

    fn place(&mut self, image: &str) -> ReservationId {
        let request = PlaceRequest { app: "app".into(), image: image.into(), count: 1, ..PlaceRequest::default() };
        let plan = Plan { host: 1, ..Plan::default() };
        self.fleet.grant(Grant { request: &request, plan: &plan }).id
    }

    fn wait(&mut self, ms: u64) {
        self.rev += 1;
        self.fleet.begin(self.rev, self.fleet.now() + ms);
    }

    fn estimate(&self, image: &str) -> Estimate {
        self.estimate_beside(image, &[])
    }

    /// With plans in flight for other images.
    fn estimate_beside(&self, image: &str, in_flight: &[&str]) -> Estimate {
        let entry = |image: &str| self.fleet.image(image).expect("it was recorded");
        let queue =
            PullQueue::of(&self.fleet, self.host(), self.fleet.now(), in_flight.iter().map(|image| entry(image)));
        queue.estimate(&self.fleet, self.host(), entry(image))
    }
}

fn ready(ready_us: u64) -> Estimate {
    Estimate { ready_us, ..Estimate::default() }
}

fn alone(ready_us: u64, fetch: u64, unpack: u64) -> Estimate {
    Estimate { ready_us, fetch_bytes: fetch * LAYER, unpack_bytes: unpack * LAYER }
}

/// Numbers that do not follow the chain: the index keeps an image's layers by number.
#[test]
fn layers_count_in_the_order_of_the_manifest() {
    let mut world = World::new();
    world.record("up", &[1, 2, 3]);
    world.record("down", &[3, 2, 1]);
    world.report(&[(1, LayerState::Unpacked), (3, LayerState::Blob), (7, LayerState::Unpacked)]);
    assert_eq!(world.estimate("up"), alone(FETCH_US + 2 * UNPACK_US, 1, 2));
    // The base of this one is to be unpacked, so all above it is.
    assert_eq!(world.estimate("down"), alone(3 * UNPACK_US, 1, 3));
    world.report(&[(1, LayerState::Unpacked), (2, LayerState::Unpacked), (3, LayerState::Unpacked)]);
    assert_eq!(world.estimate("up"), Estimate::default());
}

#[test]
fn machines_of_one_image_wait_for_the_same_pull() {
    let mut world = World::new();
    world.record("image", &[1, 2]);
    world.record("sibling", &[1, 3]);
    let all = FETCH_US + 2 * UNPACK_US;
    assert_eq!(world.estimate("image"), alone(all, 2, 2));
    assert_eq!(world.estimate_beside("image", &["image"]), ready(all));
    world.place("image");
    assert_eq!(world.estimate("image"), ready(all));
    // The base is unpacked once, and the other layer fetched beside.
    assert_eq!(world.estimate("sibling"), alone(all, 1, 1));
    world.wait(7_000);
    world.place("image");
    assert_eq!(world.estimate("image"), ready(all - 7_000_000));
    assert_eq!(world.estimate_beside("image", &["image", "image"]), ready(all - 7_000_000));
}

#[test]
fn a_pull_that_is_never_reported_ends() {
    let mut world = World::new();
    world.record("image", &[1, 2, 3, 4]);
    world.record("other", &[5]);
    world.place("image");
    // All places are taken for ten seconds.
    assert_eq!(world.estimate("other"), alone(2 * FETCH_US + UNPACK_US, 1, 1));
    let ready_us = FETCH_US + 4 * UNPACK_US;
    assert_eq!(world.estimate("image"), ready(ready_us));
    world.wait(12_000);
    assert_eq!(world.estimate("other"), alone(FETCH_US + UNPACK_US, 1, 1));
    assert_eq!(world.estimate("image"), ready(ready_us - 12_000_000));
    // It should be there now, and the agent is given time to say so.
    world.wait(48_000);
    assert_eq!(world.estimate("image"), ready(0));
    world.wait(30_000);
    assert_eq!(world.estimate("image"), alone(ready_us, 4, 4));
    // A later machine begins anew.
    world.place("image");
    world.wait(1_000);
    assert_eq!(world.estimate("image"), ready(ready_us - 1_000_000));
}

#[test]
fn a_pull_of_a_machine_that_ended_does_not_count() {
    let mut world = World::new();
    world.record("image", &[1]);
    let id = world.place("image");
    world.fleet.end(id, EndReason::Released).expect("it stands");
    assert_eq!(world.estimate("image"), alone(FETCH_US + UNPACK_US, 1, 1));
}

#[test]
fn the_state_that_an_agent_reports_goes_before_what_was_expected() {
    let mut world = World::new();
    world.record("image", &[1, 2]);
    world.place("image");
    world.wait(1_000);
    world.report(&[(1, LayerState::Unpacked), (2, LayerState::Blob)]);
    // Both lie there, and one is being unpacked since the grant.
    assert_eq!(world.estimate("image"), ready(UNPACK_US - 1_000_000));
    world.report(&[(1, LayerState::Unpacked), (2, LayerState::Unpacked)]);
    assert_eq!(world.estimate("image"), ready(0));
}

/// A machine of long ago runs what its tag stood for then. A pull that is reported makes the host busy, and does not
/// bring that machine's pull back.
#[test]
fn a_moved_tag_is_not_coming_to_the_hosts_of_old_machines() {
    let mut world = World::new();
    world.record("image", &[1]);
    world.record("other", &[4]);
    world.place("image");
    world.report(&[(1, LayerState::Unpacked)]);
    world.wait(600_000);
    world.record("image", &[2]);
    world.report(&[(1, LayerState::Unpacked), (7, LayerState::Pulling)]);
    assert_eq!(world.estimate("image"), alone(FETCH_US + UNPACK_US, 1, 1));
    assert_eq!(world.estimate_beside("image", &["other"]), alone(FETCH_US + UNPACK_US, 1, 1));
}

/// Four flows take all the places, and what comes then waits.
#[test]
fn pulls_that_are_reported_go_first() {
    let mut world = World::new();
    world.record("image", &[1]);
    world.report(&[4, 5, 6, 7].map(|n| (n, LayerState::Pulling)));
    assert_eq!(world.estimate("image"), alone(2 * FETCH_US + UNPACK_US, 1, 1));
    world.report(&[(1, LayerState::Pulling)]);
    assert_eq!(world.estimate("image"), alone(FETCH_US + UNPACK_US, 0, 1));
}

/// The image was built twice, and every layer compressed otherwise.
#[test]
fn content_that_is_unpacked_is_not_fetched_in_another_compression() {
    let mut world = World::new();
    world.record_with("gzip", &[1, 2, 3], |n| vec![100 + n; 32]);
    world.record_with("zstd", &[11, 12, 13], |n| vec![90 + n; 32]);
    world.report(&[(1, LayerState::Unpacked), (2, LayerState::Unpacked), (3, LayerState::Blob)]);
    assert_eq!(world.estimate("gzip"), alone(UNPACK_US, 0, 1));
    // Of the third there is only the other blob.
    assert_eq!(world.estimate("zstd"), alone(FETCH_US + UNPACK_US, 1, 1));
    // Unpacked on another base, which does not help either.
    world.report(&[(2, LayerState::Unpacked), (3, LayerState::Unpacked), (11, LayerState::Blob)]);
    assert_eq!(world.estimate("zstd"), alone(3 * UNPACK_US, 2, 3));
}

#[test]
fn a_pull_goes_on_from_where_it_was_said_to_be() {
    let mut world = World::new();
    world.record("image", &[1]);
    let pulling = |world: &mut World, fetched_bytes| {
        let present = vec![(digest(1), LAYER, LayerState::Pulling)];
        let fetched = vec![(digest(1), fetched_bytes)];
        let report = LayerReport { present, fetched, ..LayerReport::default() };
        world.fleet.report_layers(1, &report).expect("it is sane");
    };
    pulling(&mut world, 0);
    assert_eq!(world.estimate("image"), alone(FETCH_US + UNPACK_US, 0, 1));
    world.wait(4_000);
    assert_eq!(world.estimate("image"), alone(6_000_000 + UNPACK_US, 0, 1));
    // It was slower than expected.
    pulling(&mut world, LAYER / 10);
    assert_eq!(world.estimate("image"), alone(9_000_000 + UNPACK_US, 0, 1));
    world.wait(20_000);
    assert_eq!(world.estimate("image"), alone(UNPACK_US, 0, 1));
    // Nobody says that it ended: it may have stalled.
    world.wait(20_000);
    assert_eq!(world.estimate("image"), alone(9_000_000 + UNPACK_US, 0, 1));
}

#[test]
fn a_host_is_as_fast_as_was_measured() {
    let mut world = World::new();
    world.record("image", &[1]);
    let observed = PullObservation {
        fetched_bytes: 10 * LAYER,
        fetch_ms: 10_000,
        streams: 1,
        unpacked_bytes: 10 * LAYER,
        unpack_ms: 10_000,
    };
    (0..60).for_each(|_| world.fleet.observe_pull(1, &observed).expect("it is sane"));
    // Ten times as fast: a second each.
    let ready_us = world.estimate("image").ready_us;
    assert!((2_000_000..2_010_000).contains(&ready_us), "{ready_us}");
}
