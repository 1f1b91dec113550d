//! Machines with volumes: what is held for them is theirs, and of several volumes they get the one on the best host.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{FEATURE_LEVEL_MAX, Fleet, Grant, LayerReport, NewVolume};
use gantry_placement::{Ask, InFlight, Planned, PlannedVolume, Planner, refusals};
use gantry_types::{
    Constraints, Device, Digest, GpuShape, HostSpec, Image, Layer, LayerState, PlaceRequest, Plan, Shape, VolumeRequest,
};

/// Hosts of four GPUs in a region each.
fn fleet<const N: usize>(regions: [&str; N]) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.set_feature_level(FEATURE_LEVEL_MAX).unwrap();
    for (n, region) in regions.into_iter().enumerate() {
        let device = |index| Device { index, kind: "a".into(), memory_bytes: 1, ..Device::default() };
        let spec = HostSpec {
            name: format!("h{}", n + 1),
            region: region.into(),
            zone: "zone".into(),
            cpu_shared_milli: 64_000,
            memory_bytes: 1 << 40,
            volume_bytes: 1 << 40,
            devices: (0..4).map(device).collect(),
            ..HostSpec::default()
        };
        fleet.register_host(spec).unwrap();
    }
    fleet
}

fn planner(fleet: &Fleet) -> Planner {
    let mut planner = Planner::default();
    planner.catch_up(fleet);
    planner
}

fn gpus(count: u32, milli: u32) -> Shape {
    let gpu = GpuShape { kinds: Vec::new(), count, milli, ..GpuShape::default() };
    Shape { cpu_milli: 1_000, gpu: Some(gpu), ..Shape::default() }
}

fn volume(compute: Option<Shape>) -> VolumeRequest {
    VolumeRequest {
        request_id: "v".into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes: 1 << 30,
        compute,
        ..VolumeRequest::default()
    }
}

fn machine(shape: Shape, constraints: Constraints) -> PlaceRequest {
    let (request_id, app) = ("m".into(), "app".into());
    PlaceRequest { request_id, app, shape, constraints, count: 1, ..PlaceRequest::default() }
}

fn using(volume: u64) -> Constraints {
    Constraints { volume, ..Constraints::default() }
}

fn named() -> Constraints {
    Constraints { volume_name: "data".into(), ..Constraints::default() }
}

/// A volume on a host, with these devices held.
fn create(fleet: &mut Fleet, request: &VolumeRequest, host: u32, devices: Option<&[u32]>) -> u64 {
    let milli = request.compute.as_ref().and_then(|shape| shape.gpu.as_ref()).map_or(0, |gpu| gpu.milli);
    let share = |&index: &u32| gantry_types::DeviceShare { index, milli };
    let hold = devices.map(|devices| Plan { host, devices: devices.iter().map(share).collect(), ..Plan::default() });
    let new = NewVolume { request, host, hold: hold.as_ref() };
    fleet.volume_fits_host(new).unwrap();
    fleet.create_volume(new).id
}

fn devices(plan: &Plan) -> Vec<u32> {
    plan.devices.iter().map(|share| share.index).collect()
}

fn volumes(planned: &Planned) -> Vec<(u32, u64)> {
    planned.plans.iter().map(|plan| (plan.host, plan.volume)).collect()
}

#[test]
fn a_machine_gets_the_devices_that_are_held_for_it() {
    let mut fleet = fleet(["r"]);
    let id = create(&mut fleet, &volume(Some(gpus(2, 1_000))), 1, Some(&[2, 3]));
    let plan = |shape| planner(&fleet).plan(&fleet, &machine(shape, using(id))).unwrap().plans.remove(0);
    assert_eq!(devices(&plan(gpus(2, 1_000))), [2, 3]);
    assert_eq!(devices(&plan(gpus(1, 1_000))), [2], "a part of what is held");
    assert_eq!(devices(&plan(gpus(1, 250))), [2]);
    assert_eq!(devices(&plan(gpus(4, 1_000))), [0, 1, 2, 3], "more than is held");
    let other = machine(gpus(3, 1_000), Constraints::default());
    assert!(planner(&fleet).try_plan(&fleet, &other).is_none(), "what is held is nobody else's");
}

#[test]
fn what_is_held_counts_while_it_is_in_flight() {
    let fleet = fleet(["r"]);
    let mut planner = planner(&fleet);
    let request = volume(Some(gpus(3, 1_000)));
    let planned = planner.plan_volume(&fleet, &request).unwrap();
    assert_eq!(devices(planned.hold.as_ref().unwrap()), [0, 1, 2]);
    assert_eq!(planner.plan_volume(&fleet, &request), None);
    let two = machine(gpus(2, 1_000), Constraints::default());
    assert!(planner.try_plan(&fleet, &two).is_none());
    planner.settle_volume(&request, &planned);
    assert!(planner.try_plan(&fleet, &two).is_some());

    // Nothing is held where nothing shall be, and below the level that knows holds.
    let none = VolumeRequest { no_hold: true, ..request.clone() };
    let mut old = Fleet::default();
    old.register_host((*fleet.host(1).unwrap().spec).clone()).unwrap();
    for (fleet, request) in [(&fleet, &none), (&old, &request)] {
        let planned = self::planner(fleet).plan_volume(fleet, request);
        assert_eq!(planned, Some(PlannedVolume { host: 1, inherited: None, hold: None }));
    }
}

#[test]
fn what_a_machine_in_flight_leaves_of_its_hold_is_free() {
    let mut fleet = fleet(["r"]);
    let id = create(&mut fleet, &volume(Some(gpus(4, 1_000))), 1, Some(&[0, 1, 2, 3]));
    let mut planner = planner(&fleet);
    planner.plan(&fleet, &machine(gpus(1, 1_000), using(id))).unwrap();
    assert!(planner.try_plan(&fleet, &machine(gpus(1, 1_000), using(id))).is_none(), "the volume has its machine");
    let three = planner.plan(&fleet, &machine(gpus(3, 1_000), Constraints::default())).unwrap();
    assert_eq!(devices(&three.plans[0]), [1, 2, 3]);
}

#[test]
fn each_machine_gets_an_unattached_volume_of_the_name() {
    let mut fleet = fleet(["r", "r", "s"]);
    let plain = volume(None);
    for host in [1, 1, 2, 3] {
        create(&mut fleet, &plain, host, None);
    }
    create(&mut fleet, &VolumeRequest { name: "log".into(), ..plain.clone() }, 2, None);
    create(&mut fleet, &VolumeRequest { app: "other".into(), ..plain.clone() }, 2, None);
    let mut planner = planner(&fleet);
    let in_r = Constraints { regions: vec!["r".into()], ..named() };
    let first = planner.plan(&fleet, &machine(gpus(1, 1_000), in_r.clone())).unwrap();
    let rest = planner.plan(&fleet, &PlaceRequest { count: 4, ..machine(gpus(1, 1_000), in_r) }).unwrap();
    let mut all = [volumes(&first), volumes(&rest)].concat();
    all.sort_unstable();
    assert_eq!((all, rest.missing), (vec![(1, 1), (1, 2), (2, 3)], 2));
    let last = planner.plan(&fleet, &PlaceRequest { count: 2, ..machine(gpus(1, 1_000), named()) }).unwrap();
    assert_eq!((volumes(&last), last.missing), (vec![(3, 4)], 1));
    assert!(planner.try_plan(&fleet, &machine(gpus(1, 1_000), named())).is_none());
    planner.settle(&machine(gpus(1, 1_000), named()), &first.plans);
    let again = planner.plan(&fleet, &machine(gpus(1, 1_000), named())).unwrap();
    assert_eq!(volumes(&again), volumes(&first), "a volume that was not taken after all");
}

#[test]
fn the_volume_on_the_host_that_is_nearest_to_ready_is_chosen() {
    let mut fleet = fleet(["r", "r", "r"]);
    let layer = Layer { digest: vec![7; 32], size_bytes: 1 << 30, diff_id: Vec::new() };
    let (reference, digest) = ("image".to_owned(), vec![1; 32]);
    fleet.record_image(Image { reference, digest, platform: String::new(), layers: vec![layer] }).unwrap();
    let present = vec![(Digest([7; 32]), 1 << 30, LayerState::Unpacked)];
    fleet.report_layers(2, &LayerReport { full: true, present, ..LayerReport::default() }).unwrap();
    for host in [1, 2, 3] {
        create(&mut fleet, &volume(None), host, None);
    }
    let request = PlaceRequest { image: "image".into(), ..machine(gpus(1, 1_000), named()) };
    let planned = planner(&fleet).plan(&fleet, &request).unwrap();
    assert_eq!(volumes(&planned), [(2, 2)]);
    // Where it has no room, the next best.
    let full = machine(gpus(4, 1_000), Constraints::default());
    let device = |index| gantry_types::DeviceShare { index, milli: 1_000 };
    let plan = Plan { host: 2, devices: (0..4).map(device).collect(), ..Plan::default() };
    fleet.grant(Grant { request: &full, plan: &plan });
    let next = volumes(&planner(&fleet).plan(&fleet, &request).unwrap());
    assert!([[(1, 1)], [(3, 3)]].contains(&next[..].try_into().unwrap()), "{next:?}");
}

/// The hold counts for the image as in use, and the machine that ends it does not have that.
#[test]
fn a_host_that_refuses_for_the_volume_it_would_give_is_counted() {
    let mut fleet = Fleet::default();
    fleet.set_feature_level(FEATURE_LEVEL_MAX).unwrap();
    let (name, region, zone) = ("h".to_owned(), "r".to_owned(), "zone".to_owned());
    let spec = HostSpec { cpu_shared_milli: 1_000, volume_bytes: 1 << 40, cache_bytes: 10, ..HostSpec::default() };
    fleet.register_host(HostSpec { name, region, zone, ..spec }).unwrap();
    let shape = Shape { cpu_milli: 500, ..Shape::default() };
    let request = VolumeRequest { compute_image: "image".into(), ..volume(Some(shape.clone())) };
    create(&mut fleet, &request, 1, Some(&[]));
    let layer = Layer { digest: vec![7; 32], size_bytes: 20, ..Layer::default() };
    let image = Image { reference: "image".into(), digest: vec![1; 32], layers: vec![layer], ..Image::default() };
    fleet.record_image(image).unwrap();
    let request = PlaceRequest { image: "image".into(), ..machine(shape, named()) };
    let refused = refusals(&fleet, &InFlight::default(), &Ask::machine(&fleet, &request));
    let told: Vec<_> = refused.iter().map(|group| (group.hosts, group.example.constraint)).collect();
    assert_eq!(told, [(1, "image_cache")]);
}

#[test]
fn of_a_hosts_volumes_the_one_with_a_hold_that_fits_is_chosen() {
    let mut fleet = fleet(["r"]);
    create(&mut fleet, &volume(None), 1, None);
    create(&mut fleet, &volume(Some(gpus(1, 1_000))), 1, Some(&[0]));
    create(&mut fleet, &volume(Some(gpus(3, 1_000))), 1, Some(&[1, 2, 3]));
    let plan = |count| planner(&fleet).plan(&fleet, &machine(gpus(count, 1_000), named())).map(|p| volumes(&p));
    assert_eq!(plan(1), Ok(vec![(1, 2)]));
    assert_eq!(plan(2), Ok(vec![(1, 3)]));
    assert!(plan(4).is_err(), "one hold is given back, not both");
    let three = PlaceRequest { count: 3, ..machine(gpus(1, 1_000), named()) };
    assert_eq!(volumes(&planner(&fleet).plan(&fleet, &three).unwrap()), [(1, 2), (1, 3), (1, 1)]);
}

#[test]
fn a_fork_goes_to_another_host_of_the_region_with_what_its_machine_needs() {
    let mut fleet = fleet(["r", "s", "r"]);
    let source = create(&mut fleet, &volume(None), 1, None);
    let request = PlaceRequest { image: "image".into(), ..machine(gpus(2, 1_000), using(source)) };
    let plan = planner(&fleet).plan(&fleet, &request).unwrap().plans.remove(0);
    fleet.grant(Grant { request: &request, plan: &plan });

    let fork = VolumeRequest { size_bytes: 0, fork_of: source, ..volume(None) };
    let planned = planner(&fleet).plan_volume(&fleet, &fork).unwrap();
    assert_eq!((planned.host, devices(planned.hold.as_ref().unwrap())), (3, vec![0, 1]));
    let whole = fork.inheriting(planned.inherited.as_ref());
    assert_eq!(
        (whole.size_bytes, &whole.compute, whole.compute_image.as_str()),
        (1 << 30, &Some(gpus(2, 1_000)), "image")
    );

    // What is said counts: another region, another machine.
    let constraints = Constraints { regions: vec!["s".into()], ..Constraints::default() };
    let other = VolumeRequest { constraints, compute: Some(gpus(1, 500)), ..fork.clone() };
    let planned = planner(&fleet).plan_volume(&fleet, &other).unwrap();
    assert_eq!((planned.host, planned.hold.unwrap().devices[0].milli), (2, 500));
    let only_here = Constraints { host: "h1".into(), ..Constraints::default() };
    assert_eq!(planner(&fleet).plan_volume(&fleet, &VolumeRequest { constraints: only_here, ..fork }), None);
}
