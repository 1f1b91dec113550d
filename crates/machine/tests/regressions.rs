//! Bugs that were found once, each by the name of what must hold.
#![allow(clippy::unwrap_used)]

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;

use gantry_fleet::Fleet;
use gantry_machine::{
    CreateVolume, DeleteVolume, Effect, RegisterHost, Release, Renew, Request, Reserve, UpdateHost, fingerprint,
};
use gantry_types::{DeviceShare, GpuShape, HostSpec, Label, PlaceRequest, Plan, Refused, Shape, VolumeRequest};
use prost::Message;
use world::{World, spec};

/// The field that a refusal names.
fn field(refused: Refused) -> &'static str {
    match refused {
        Refused::Invalid { field, .. } => field,
        other => panic!("{other:?} names no field"),
    }
}

fn request(request_id: &str) -> PlaceRequest {
    PlaceRequest {
        request_id: request_id.into(),
        app: "app".into(),
        shape: Shape {
            cpu_milli: 1_000,
            gpu: Some(GpuShape { kinds: Vec::new(), count: 1, milli: 500, ..GpuShape::default() }),
            ..Shape::default()
        },
        count: 1,
        ..PlaceRequest::default()
    }
}

fn reserve(request: PlaceRequest, devices: &[&[(u32, u32)]]) -> Reserve {
    let plan = |shares: &&[(u32, u32)]| Plan {
        host: 1,
        devices: shares.iter().map(|&(index, milli)| DeviceShare { index, milli }).collect(),
        ..Plan::default()
    };
    Reserve { fingerprint: fingerprint(&request), request, plans: devices.iter().map(plan).collect() }
}

fn with_fingerprint<C: Request>(command: C, set: fn(&mut C, u64)) -> C {
    let mut command = command;
    let print = fingerprint(&command);
    set(&mut command, print);
    command
}

fn renew(request_id: &str, reservation: u64) -> Renew {
    let renew = Renew { request_id: request_id.into(), fingerprint: 0, reservation, lease_ms: 0 };
    with_fingerprint(renew, |renew, print| renew.fingerprint = print)
}

fn delete_volume(request_id: &str, volume: u64) -> DeleteVolume {
    let delete = DeleteVolume { request_id: request_id.into(), fingerprint: 0, volume };
    with_fingerprint(delete, |delete, print| delete.fingerprint = print)
}

#[test]
fn a_request_id_is_not_shared_between_renewing_and_deleting() {
    let mut world = World::new();
    world.apply(reserve(request("place"), &[&[(0, 500)]])).unwrap();
    for id in ["volume 1", "volume 2"] {
        let request = VolumeRequest {
            request_id: id.into(),
            app: "app".into(),
            name: "data".into(),
            size_bytes: 1,
            ..VolumeRequest::default()
        };
        world
            .apply(CreateVolume { fingerprint: fingerprint(&request), request, host: 1, ..CreateVolume::default() })
            .unwrap();
    }
    assert!(matches!(world.apply(renew("a", 1)), Ok(Effect::Renewed { until, .. }) if until > 0));
    assert_eq!(world.apply(delete_volume("a", 1)).unwrap_err().reason(), "REQUEST_ID_REUSED");
    assert!(world.fleet.volume(1).is_some());
    world.apply(delete_volume("b", 1)).unwrap();
    assert_eq!(world.apply(renew("b", 1)).unwrap_err().reason(), "REQUEST_ID_REUSED");
}

#[test]
fn requests_of_two_kinds_have_no_fingerprint_in_common() {
    let renew = Renew { request_id: "a".into(), ..Renew::default() };
    let delete = DeleteVolume { request_id: "a".into(), ..DeleteVolume::default() };
    let release = Release { request_id: "a".into(), ..Release::default() };
    assert!(renew.encode_to_vec() == delete.encode_to_vec() && delete.encode_to_vec() == release.encode_to_vec());
    let prints = BTreeSet::from([fingerprint(&renew), fingerprint(&delete), fingerprint(&release)]);
    assert_eq!(prints.len(), 3, "the same bytes of two kinds were taken for the same request");
}

/// Chance may give two requests one fingerprint.
#[test]
fn an_answer_of_another_kind_is_never_given() {
    let mut world = World::new();
    world.apply(reserve(request("place"), &[&[(0, 500)]])).unwrap();
    world.apply(Renew { fingerprint: 7, ..renew("a", 1) }).unwrap();
    let release = Release { request_id: "a".into(), fingerprint: 7, reservations: vec![1] };
    assert_eq!(world.refused(release).reason(), "REQUEST_ID_REUSED");
}

#[test]
fn a_request_that_no_server_checked_is_refused_not_computed_with() {
    let mut world = World::new();
    let gpu = |count, milli| Some(GpuShape { kinds: Vec::new(), count, milli, ..GpuShape::default() });
    let with_gpu = |count, milli| {
        let request = request("r");
        PlaceRequest { shape: Shape { gpu: gpu(count, milli), ..request.shape }, ..request }
    };
    for (request, devices, expected) in [
        (with_gpu(0, 1_000), &[][..], "shape.gpu.count"),
        (with_gpu(1, 0), &[(0, 0)], "shape.gpu.milli"),
        (with_gpu(1, 70_000), &[(0, 70_000)], "shape.gpu.milli"),
        (PlaceRequest { request_id: String::new(), ..request("") }, &[(0, 500)], "request_id"),
        (PlaceRequest { lease_ms: u64::MAX, ..request("r") }, &[(0, 500)], "lease_ms"),
        (PlaceRequest { count: 0, ..request("r") }, &[(0, 500)], "count"),
    ] {
        assert_eq!(field(world.refused(reserve(request, &[devices]))), expected);
    }
}

#[test]
fn a_reserve_grants_no_more_machines_than_were_asked_for() {
    let mut world = World::new();
    assert_eq!(field(world.refused(reserve(request("r"), &[&[(0, 500)], &[(1, 500)]]))), "plans");
    assert_eq!(field(world.refused(reserve(request("r"), &[]))), "plans");
    let all = PlaceRequest { count: 2, all_or_nothing: true, ..request("r") };
    assert_eq!(field(world.refused(reserve(all.clone(), &[&[(0, 500)]]))), "plans");
    assert!(matches!(
        world.apply(reserve(PlaceRequest { all_or_nothing: false, ..all.clone() }, &[&[(0, 500)]])),
        Ok(Effect::Placed { missing: 1, .. })
    ));
    assert!(world.apply(reserve(PlaceRequest { request_id: "s".into(), ..all }, &[&[(0, 500)], &[(1, 500)]])).is_ok());
}

#[test]
fn a_release_names_something_and_not_too_much() {
    let mut world = World::new();
    let release = |request_id: &str, reservations: Vec<u64>| {
        let release = Release { request_id: request_id.into(), fingerprint: 0, reservations };
        with_fingerprint(release, |release, print| release.fingerprint = print)
    };
    assert_eq!(field(world.refused(release("a", Vec::new()))), "reservations");
    assert_eq!(field(world.refused(release("a", vec![1; 1_001]))), "reservations");
    assert_eq!(field(world.refused(release("", vec![1]))), "request_id");
    assert_eq!(field(world.refused(renew("", 1))), "request_id");
    assert_eq!(field(world.refused(delete_volume("", 1))), "request_id");
}

#[test]
fn a_stamp_at_the_end_of_time_overflows_nothing() {
    let mut world = World::new();
    let end = u64::MAX - 1;
    let Ok(Effect::Placed { reservations, .. }) = world.apply_at(end, reserve(request("r"), &[&[(0, 500)]])) else {
        panic!("not placed")
    };
    assert_eq!(reservations[0].expires_at, u64::MAX);
    assert!(matches!(world.apply_at(end, renew("s", 1)), Ok(Effect::Renewed { until: u64::MAX, .. })));
    let Ok(Effect::Placed { reservations: again, .. }) = world.apply_at(0, reserve(request("r"), &[&[(0, 500)]]))
    else {
        panic!("not repeated")
    };
    assert_eq!(again, reservations);
}

fn label(key: &str, value: &str) -> Label {
    Label { key: key.into(), value: value.into() }
}

/// The labels that count, as `key=value`, and the overcommit.
fn declared(fleet: &Fleet) -> (Vec<String>, u32) {
    let spec = &fleet.host(1).unwrap().spec;
    (spec.labels.iter().map(|l| format!("{}={}", l.key, l.value)).collect(), spec.cpu_overcommit_percent)
}

#[test]
fn an_agent_that_registers_anew_does_not_undo_what_an_operator_set() {
    let mut world = World::new();
    let spec = HostSpec { labels: vec![label("rack", "1"), label("spot", "yes"), label("tier", "a")], ..spec() };
    world.apply(RegisterHost { spec: spec.clone() }).unwrap();
    let update = UpdateHost {
        name: "h".into(),
        set_labels: vec![label("tier", "b"), label("owner", "ops")],
        remove_labels: vec!["spot".into()],
        cpu_overcommit_percent: Some(200),
    };
    world.apply(update).unwrap();
    // More than there is without the raised overcommit.
    let plan = Plan { host: 1, ..Plan::default() };
    let shape = Shape { cpu_milli: spec.cpu_shared_milli + 1, ..Shape::default() };
    let request = PlaceRequest { shape, ..request("place") };
    world.apply(Reserve { fingerprint: fingerprint(&request), request, plans: vec![plan] }).unwrap();

    let expected = (vec!["owner=ops".to_owned(), "rack=2".into(), "tier=b".into()], 200);
    let moved = HostSpec { labels: vec![label("rack", "2"), label("spot", "yes"), label("tier", "a")], ..spec.clone() };
    world.apply(RegisterHost { spec: moved.clone() }).unwrap();
    assert_eq!(declared(&world.fleet), expected);

    let mut restored = Fleet::default();
    world.fleet.rows().for_each(|row| restored.load(row).unwrap());
    assert!(restored.rows().eq(world.fleet.rows()));
    restored.register_host(HostSpec { memory_bytes: moved.memory_bytes + 1, ..moved }).unwrap();
    assert_eq!(declared(&restored), expected);
    restored.check().unwrap();

    // The operator has the last word, until it says otherwise.
    let update = UpdateHost {
        name: "h".into(),
        set_labels: vec![label("spot", "no")],
        remove_labels: vec!["tier".into()],
        cpu_overcommit_percent: Some(150),
    };
    world.apply(update).unwrap();
    world.apply(RegisterHost { spec }).unwrap();
    assert_eq!(declared(&world.fleet), (vec!["owner=ops".into(), "rack=1".into(), "spot=no".into()], 150));
}
