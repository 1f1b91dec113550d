//! Compute held for a volume's machine: nobody else gets it, and it ends once.
#![allow(clippy::unwrap_used)]

#[path = "support/world.rs"]
mod world;

use gantry_fleet::{EventKind, FEATURE_LEVEL_MAX, Fleet, Grant, Row};
use gantry_machine::{
    ADMIT, Admit, Command, CreateVolume, DeleteVolume, Effect, Entry, Expire, RecordImage, Release, Reserve,
    SetFeatureLevel, apply_with, fingerprint,
};
use gantry_types::{
    Constraints, DeviceShare, GpuShape, Image, Layer, PlaceRequest, Plan, Refused, Rejection, Shape, Volume,
    VolumeRequest, limits,
};
use world::World;

/// One host with two GPUs, at the newest level.
fn world() -> World {
    let mut world = World::new();
    world.apply(SetFeatureLevel { level: FEATURE_LEVEL_MAX }).unwrap();
    world
}

fn gpus(count: u32) -> Shape {
    let gpu = GpuShape { kinds: Vec::new(), count, milli: 1_000, ..GpuShape::default() };
    Shape { cpu_milli: 1_000, memory_bytes: 1 << 30, gpu: Some(gpu), ..Shape::default() }
}

fn volume(id: &str, compute: Shape) -> VolumeRequest {
    VolumeRequest {
        request_id: id.into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes: 1 << 30,
        compute: Some(compute),
        compute_image: "image".into(),
        ..VolumeRequest::default()
    }
}

fn plan(devices: &[u32]) -> Plan {
    let devices = devices.iter().map(|&index| DeviceShare { index, milli: 1_000 }).collect();
    Plan { host: 1, devices, ..Plan::default() }
}

/// A volume with these devices held.
fn hold(request: VolumeRequest, devices: &[u32]) -> Command {
    let fingerprint = fingerprint(&request);
    CreateVolume { request, fingerprint, host: 1, hold: Some(plan(devices)), inherited: None }.into()
}

fn machine(id: &str, app: &str, count: u32, volume: u64) -> PlaceRequest {
    PlaceRequest {
        request_id: id.into(),
        app: app.into(),
        shape: gpus(count),
        constraints: Constraints { volume, ..Constraints::default() },
        count: 1,
        ..PlaceRequest::default()
    }
}

fn reserve(request: PlaceRequest, plans: Vec<Plan>) -> Command {
    Reserve { fingerprint: fingerprint(&request), plans, request }.into()
}

/// Thousandths used of each GPU.
fn used(fleet: &Fleet) -> Vec<u16> {
    fleet.host(1).unwrap().usage().devices.to_vec()
}

fn row(fleet: &Fleet, id: u64) -> Volume {
    (**fleet.volume(id).unwrap()).clone()
}

#[test]
fn what_is_held_is_for_the_volumes_machine_only() {
    let mut world = world();
    world.apply(hold(volume("v", gpus(2)), &[0, 1])).unwrap();
    assert_eq!(used(&world.fleet), [1_000, 1_000]);
    assert_eq!(row(&world.fleet, 1).hold.unwrap().expires_at, 1_000 + limits::LEASE_DEFAULT_MS);

    // Nobody else's: not without the volume, and not with it under another app.
    for request in [machine("a", "app", 1, 0), machine("b", "other", 1, 1)] {
        assert!(matches!(world.refused(reserve(request, vec![plan(&[0])])), Refused::Lost { .. }));
    }
    assert!(matches!(world.refused(hold(volume("w", gpus(1)), &[0])), Refused::Lost { .. }));

    // Its machine takes one of the two, and the other is free from then on.
    world.apply(reserve(machine("c", "app", 1, 1), vec![plan(&[1])])).unwrap();
    assert_eq!(used(&world.fleet), [0, 1_000]);
    assert_eq!((row(&world.fleet, 1).hold, row(&world.fleet, 1).used_by), (None, 1));
    world.apply(reserve(machine("d", "app", 1, 0), vec![plan(&[0])])).unwrap();

    // It was consumed once: a second machine of the volume finds nothing held.
    let release = Release { request_id: "r".into(), fingerprint: 0, reservations: vec![1] };
    world.apply(release).unwrap();
    world.apply(reserve(machine("e", "app", 1, 0), vec![plan(&[1])])).unwrap();
    assert!(matches!(world.refused(reserve(machine("f", "app", 1, 1), vec![plan(&[1])])), Refused::Lost { .. }));
}

#[test]
fn a_hold_ends_with_its_lease_or_its_volume() {
    let mut world = world();
    world.apply(hold(VolumeRequest { hold_ms: 5_000, ..volume("v", gpus(1)) }, &[0])).unwrap();
    world.apply(hold(volume("w", gpus(1)), &[1])).unwrap();
    assert_eq!(world.fleet.next_lease_end(), Some(6_000));
    assert!(!world.fleet.expiry_due(5_999) && world.fleet.expiry_due(6_000));
    world.fleet.take_events();
    assert_eq!(world.apply_at(5_999, Expire {}), Ok(Effect::Expired { rev: 5, leases: 0 }));
    assert_eq!(world.apply_at(6_000, Expire {}), Ok(Effect::Expired { rev: 6, leases: 1 }));
    assert_eq!((used(&world.fleet), row(&world.fleet, 1).hold), (vec![0, 1_000], None));
    let events = world.fleet.take_events();
    assert!(matches!(&events[..], [event] if matches!(&event.kind, EventKind::HoldExpired(it) if it.id == 1)));

    world.apply(DeleteVolume { request_id: "d".into(), fingerprint: 0, volume: 2 }).unwrap();
    assert_eq!((used(&world.fleet), world.fleet.next_lease_end()), (vec![0, 0], None));
}

#[test]
fn a_hold_is_a_part_of_the_state_that_is_restored() {
    let mut world = world();
    let layers = vec![Layer { digest: vec![1; 32], size_bytes: 7, diff_id: Vec::new() }];
    let image = Image { reference: "image".into(), digest: vec![1; 32], platform: String::new(), layers };
    world.apply(RecordImage { image }).unwrap();
    world.apply(hold(volume("v", gpus(1)), &[1])).unwrap();
    let mut restored = Fleet::default();
    world.fleet.rows().for_each(|row: Row| restored.load(row).unwrap());
    restored.check().unwrap();
    assert_eq!((used(&restored), restored.next_lease_end()), (vec![0, 1_000], Some(61_000)));
    for fleet in [&world.fleet, &restored] {
        let coming = fleet.images_in_use(fleet.host(1).unwrap()).map(|entry| entry.image.reference.as_str());
        assert_eq!(coming.collect::<Vec<_>>(), ["image"], "the image of the machine that something is held for");
    }
}

#[test]
fn a_request_that_fails_as_a_whole_gives_the_holds_back() {
    let mut world = world();
    world.apply(hold(volume("v", gpus(1)), &[0])).unwrap();
    world.apply(hold(volume("w", gpus(1)), &[1])).unwrap();
    let by_name = Constraints { volume_name: "data".into(), ..Constraints::default() };
    let both = |id: &str| PlaceRequest { constraints: by_name.clone(), count: 2, ..machine(id, "app", 1, 0) };
    let on = |volume, device| Plan { volume, ..plan(&[device]) };
    // The second plan takes a volume that the first has, or a device that is held for neither.
    let refused = world.refused(reserve(both("a"), vec![on(1, 0), on(1, 1)]));
    assert!(matches!(refused, Refused::Lost { .. }), "{refused:?}");
    assert!(row(&world.fleet, 1).hold.is_some() && row(&world.fleet, 2).hold.is_some());

    let effect = world.apply(reserve(both("b"), vec![on(1, 0), on(2, 1)])).unwrap();
    let Effect::Placed { reservations, missing: 0, .. } = &effect else { panic!("{effect:?}") };
    assert_eq!(reservations.iter().map(|row| row.volume).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.apply(reserve(both("b"), vec![on(1, 0)])), Ok(effect), "the same answer, with its volumes");
}

/// An apply that forgets what is held breaks S1, and the check says so.
#[test]
fn the_check_catches_an_apply_that_forgets_holds() {
    fn forgets(fleet: &Fleet, grant: Grant<'_>) -> Result<(), Rejection> {
        let mut later = fleet.clone();
        later.begin(fleet.rev(), u64::MAX);
        later.expire_holds(usize::MAX);
        (ADMIT.machine)(&later, grant)
    }
    let mut world = world();
    world.apply(hold(volume("v", gpus(1)), &[0])).unwrap();
    let entry = Entry::new(1_000, 1, 1, vec![reserve(machine("a", "app", 1, 0), vec![plan(&[0])])]);
    let rev = world.fleet.rev() + 1;
    let outcomes = apply_with(&mut world.fleet, rev, &entry, Admit { machine: forgets, ..ADMIT }, |_| {});
    assert!(outcomes[0].is_ok());
    assert!(world.fleet.check().unwrap_err().starts_with("S1"));
}

#[test]
fn a_fork_keeps_away_from_its_source_and_takes_over_its_machine() {
    let mut world = world();
    let other = gantry_types::HostSpec { name: "other".into(), ..world::spec() };
    world.apply(gantry_machine::RegisterHost { spec: other }).unwrap();
    world.apply(hold(volume("v", gpus(1)), &[0])).unwrap();
    let image = PlaceRequest { image: "image".into(), ..machine("m", "app", 1, 1) };
    world.apply(reserve(image, vec![plan(&[0])])).unwrap();

    let request = VolumeRequest { size_bytes: 0, compute: None, fork_of: 1, ..volume("f", gpus(1)) };
    let request = VolumeRequest { compute_image: String::new(), ..request };
    let inherited = world.fleet.inherited(&request).unwrap();
    let fork = |host, id: &str| {
        let request = VolumeRequest { request_id: id.into(), ..request.clone() };
        let hold = Some(Plan { host, ..plan(&[1]) });
        CreateVolume { fingerprint: fingerprint(&request), request, host, inherited: inherited.clone(), hold }
    };
    let refused = world.refused(fork(1, "here"));
    assert!(refused.to_string().contains("fork wants another host than that of volume 1"), "{refused}");
    world.apply(fork(2, "there")).unwrap();
    let forked = row(&world.fleet, 2);
    assert_eq!((forked.forked_from, forked.size_bytes, forked.host), (1, 1 << 30, 2));
    let hold = forked.hold.unwrap();
    assert_eq!((hold.shape, hold.image.as_str(), hold.devices), (gpus(1), "image", plan(&[1]).devices));
}
