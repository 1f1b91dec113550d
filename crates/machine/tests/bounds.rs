//! A fleet that holds as much as it may: what is new is refused by name and changes nothing, what gives back is done.
#![allow(clippy::unwrap_used)]

#[path = "support/world.rs"]
mod world;

use gantry_fleet::{Bounds, FEATURE_LEVEL_MAX, Fleet};
use gantry_machine::{
    CreateVolume, DeleteVolume, Effect, LayerPresent, RecordImage, RegisterHost, Release, Renew, ReportLayers, Reserve,
    SetFeatureLevel, SetPolicy, SetRegionAlias, fingerprint,
};
use gantry_types::{AppPolicy, Image, Layer, PlaceRequest, Plan, Policy, Refused, RegionAlias, Shape, VolumeRequest};
use world::{World, spec};

fn bounded(bounds: Bounds) -> World {
    let mut world = World::new();
    world.fleet = Fleet::bounded(bounds);
    world.apply(RegisterHost { spec: spec() }).unwrap();
    world
}

fn reserve(request_id: &str, count: u32) -> Reserve {
    let request = PlaceRequest {
        request_id: request_id.into(),
        app: "app".into(),
        shape: Shape { cpu_milli: 1, ..Shape::default() },
        count,
        ..PlaceRequest::default()
    };
    let plans = vec![Plan { host: 1, ..Plan::default() }; count as usize];
    Reserve { fingerprint: fingerprint(&request), request, plans }
}

fn create_volume(request_id: &str) -> CreateVolume {
    let request = VolumeRequest {
        request_id: request_id.into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes: 1,
        ..VolumeRequest::default()
    };
    CreateVolume { fingerprint: fingerprint(&request), request, host: 1, ..CreateVolume::default() }
}

fn release(request_id: &str, reservation: u64) -> Release {
    let mut release = Release { request_id: request_id.into(), fingerprint: 0, reservations: vec![reservation] };
    release.fingerprint = fingerprint(&release);
    release
}

fn report(layers: &[u8]) -> ReportLayers {
    let present = |&n: &u8| LayerPresent { digest: vec![n; 32], size_bytes: 1, state: 2, ..LayerPresent::default() };
    ReportLayers { host: 1, full: false, present: layers.iter().map(present).collect(), gone: Vec::new() }
}

fn record(reference: &str, layers: &[u8]) -> RecordImage {
    let layer = |&n: &u8| Layer { digest: vec![n; 32], size_bytes: 1, diff_id: Vec::new() };
    let layers = layers.iter().map(layer).collect();
    let image = Image { reference: reference.into(), digest: vec![7; 32], platform: String::new(), layers };
    RecordImage { image }
}

fn full(refused: Refused) -> (&'static str, usize) {
    match refused {
        Refused::Full { what, limit } => (what, limit),
        other => panic!("{other:?}"),
    }
}

#[test]
fn policies() {
    let policy = |app: &str, ready_milli| {
        let policy = Policy { ready_milli, ..Policy::DEFAULT };
        SetPolicy { policy: AppPolicy { app: app.into(), policy } }
    };
    let mut world = bounded(Bounds { policies: 1, ..Bounds::default() });
    world.apply(SetFeatureLevel { level: FEATURE_LEVEL_MAX }).unwrap();
    world.apply(policy("a", Some(0))).unwrap();
    assert_eq!(full(world.refused(policy("b", Some(0)))), ("policies", 1));
    world.apply(policy("b", None)).unwrap();
    world.apply(policy("a", Some(2_000))).unwrap();
    assert_eq!(world.fleet.policy("a").ready_milli, Some(2_000));
    world.apply(policy("a", None)).unwrap();
    world.apply(policy("b", Some(0))).unwrap();
    assert_eq!((world.fleet.policy("a"), world.fleet.policies_after("").count()), (&Policy::DEFAULT, 1));
}

#[test]
fn region_aliases() {
    let alias = |name: &str, regions: &[&str]| {
        let regions = regions.iter().map(|region| (*region).to_owned()).collect();
        SetRegionAlias { alias: RegionAlias { name: name.into(), regions } }
    };
    let mut world = bounded(Bounds { region_aliases: 1, ..Bounds::default() });
    world.apply(SetFeatureLevel { level: FEATURE_LEVEL_MAX }).unwrap();
    world.apply(alias("eu", &["ams"])).unwrap();
    assert_eq!(full(world.refused(alias("us", &["iad"]))), ("region aliases", 1));
    world.apply(alias("eu", &["ams", "fra"])).unwrap();
    world.apply(alias("eu", &[])).unwrap();
    world.apply(alias("us", &["iad"])).unwrap();
}

#[test]
fn reservations() {
    let mut world = bounded(Bounds { reservations: 3, ..Bounds::default() });
    world.apply(reserve("a", 2)).unwrap();
    assert_eq!(full(world.refused(reserve("b", 2))), ("reservations", 3));
    world.apply(reserve("c", 1)).unwrap();
    assert_eq!(full(world.refused(reserve("d", 1))), ("reservations", 3));
    world.apply(reserve("a", 2)).unwrap();
    world.apply(release("e", 1)).unwrap();
    world.apply(reserve("d", 1)).unwrap();
}

#[test]
fn volumes() {
    let mut world = bounded(Bounds { volumes: 1, ..Bounds::default() });
    world.apply(create_volume("a")).unwrap();
    assert_eq!(full(world.refused(create_volume("b"))), ("volumes", 1));
    world.apply(DeleteVolume { request_id: "c".into(), fingerprint: 0, volume: 1 }).unwrap();
    world.apply(create_volume("b")).unwrap();
}

#[test]
fn layers_and_images() {
    let mut world = bounded(Bounds { layers: 4, images: 2, ..Bounds::default() });
    world.apply(report(&[1, 2])).unwrap();
    world.apply(record("one", &[2, 3])).unwrap();
    assert_eq!(full(world.refused(report(&[4, 5]))), ("layers", 4));
    assert_eq!(full(world.refused(record("two", &[4, 5, 1]))), ("layers", 4));
    // Those known already, and one that is named twice, count once.
    world.apply(report(&[1, 2, 3, 4, 4])).unwrap();
    world.apply(record("two", &[1, 2, 3, 4, 4])).unwrap();
    assert_eq!(full(world.refused(record("three", &[1]))), ("images", 2));
    world.apply(record("two", &[1])).unwrap();
}

#[test]
fn hosts() {
    let mut world = bounded(Bounds { hosts: 1, ..Bounds::default() });
    let mut other = spec();
    other.name = "other".into();
    assert_eq!(full(world.refused(RegisterHost { spec: other })), ("hosts", 1));
    world.apply(RegisterHost { spec: spec() }).unwrap();
}

#[test]
fn a_memory_of_requests_that_is_full_lets_through_what_gives_back() {
    let mut world = bounded(Bounds { requests: 2, ..Bounds::default() });
    let Ok(first) = world.apply(reserve("a", 1)) else { panic!("not placed") };
    world.apply(create_volume("b")).unwrap();
    for refused in [
        world.refused(reserve("c", 1)),
        world.refused(create_volume("c")),
        world.refused(Renew { request_id: "c".into(), fingerprint: 0, reservation: 1, lease_ms: 0 }),
    ] {
        assert_eq!(refused, Refused::RequestMemoryFull { limit: 2 });
    }
    assert_eq!(world.apply(reserve("a", 1)), Ok(first), "what is remembered is answered");

    let done = world.apply(release("d", 1));
    assert!(matches!(done, Ok(Effect::Done { .. })), "{done:?}");
    assert_eq!(world.apply(release("d", 1)), done, "and remembered all the same");
    assert_eq!(world.refused(release("d", 2)).reason(), "REQUEST_ID_REUSED");
    assert_eq!(world.refused(release("e", 1)).reason(), "UNKNOWN_RESERVATION");
    world.apply(DeleteVolume { request_id: "f".into(), fingerprint: 0, volume: 1 }).unwrap();
    assert!(["a", "b", "d", "f"].iter().all(|id| world.fleet.remembered(id).is_some()));

    let later = 1_001 + gantry_types::limits::REQUEST_MEMORY_MS;
    world.apply_at(later, gantry_machine::Expire {}).unwrap();
    world.apply_at(later, reserve("c", 1)).unwrap();
}
