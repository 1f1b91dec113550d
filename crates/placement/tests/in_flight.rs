//! Plans in flight while the fleet changes under them.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{EndReason, Fleet, Grant};
use gantry_placement::Planner;
use gantry_types::{
    Constraints, Device, GpuShape, HostSpec, PlaceRequest, Refused, Shape, VolumeRequest, WHOLE_GPU_MILLI,
};

fn spec(name: &str, devices: &[u32]) -> HostSpec {
    HostSpec {
        name: name.into(),
        region: "region".into(),
        zone: "zone".into(),
        cpu_shared_milli: 64_000,
        memory_bytes: 1 << 40,
        volume_bytes: 1 << 40,
        devices: devices
            .iter()
            .map(|&index| Device { index, kind: "a".into(), memory_bytes: 1, ..Device::default() })
            .collect(),
        ..HostSpec::default()
    }
}

fn request(id: u32, count: u32, milli: u32) -> PlaceRequest {
    PlaceRequest {
        request_id: format!("r{id}"),
        app: "app".into(),
        shape: Shape {
            cpu_milli: 1_000,
            gpu: Some(GpuShape { kinds: Vec::new(), count, milli, ..GpuShape::default() }),
            ..Shape::default()
        },
        count: 1,
        ..PlaceRequest::default()
    }
}

fn devices(planned: &gantry_placement::Planned) -> Vec<u32> {
    planned.plans.iter().flat_map(|plan| plan.devices.iter().map(|share| share.index)).collect()
}

#[test]
fn a_host_that_registers_other_devices_keeps_its_plans_on_theirs() {
    let mut fleet = Fleet::default();
    fleet.register_host(spec("h", &[4, 5])).unwrap();
    let mut planner = Planner::default();
    planner.catch_up(&fleet);
    let first = planner.plan(&fleet, &request(1, 2, WHOLE_GPU_MILLI)).unwrap();
    assert_eq!(devices(&first), [4, 5]);

    // Four more devices, in front of those that the plan takes.
    fleet.register_host(spec("h", &[0, 1, 2, 3, 4, 5])).unwrap();
    planner.catch_up(&fleet);
    let second = planner.plan(&fleet, &request(2, 4, WHOLE_GPU_MILLI)).unwrap();
    assert_eq!(devices(&second), [0, 1, 2, 3]);
    let full = planner.plan(&fleet, &request(3, 1, 1));
    assert!(matches!(full, Err(Refused::NoCapacity { .. })), "{full:?}");

    planner.settle(&request(1, 2, WHOLE_GPU_MILLI), &first.plans);
    assert_eq!(devices(&planner.plan(&fleet, &request(4, 2, WHOLE_GPU_MILLI)).unwrap()), [4, 5]);
}

#[test]
fn a_host_that_registers_fewer_devices_forgets_plans_on_those_gone() {
    let mut fleet = Fleet::default();
    fleet.register_host(spec("h", &[0, 1, 2, 3])).unwrap();
    let mut planner = Planner::default();
    planner.catch_up(&fleet);
    let first = request(1, 3, WHOLE_GPU_MILLI);
    let plans = planner.plan(&fleet, &first).unwrap().plans;
    fleet.register_host(spec("h", &[2, 3])).unwrap();
    planner.catch_up(&fleet);
    assert_eq!(devices(&planner.plan(&fleet, &request(2, 1, 1)).unwrap()), [3]);
    planner.settle(&first, &plans);
    assert_eq!(devices(&planner.plan(&fleet, &request(3, 1, WHOLE_GPU_MILLI)).unwrap()), [2]);
}

#[test]
fn a_plan_that_is_applied_but_not_settled_takes_no_less_room() {
    let mut fleet = Fleet::default();
    let host = fleet.register_host(spec("h", &[0])).unwrap();
    let mut planner = Planner::default();
    planner.catch_up(&fleet);
    let first = request(1, 1, 600);
    let plans = planner.plan(&fleet, &first).unwrap().plans;
    let reservation = fleet.grant(Grant { request: &first, plan: &plans[0] });
    planner.catch_up(&fleet);
    let refused = planner.plan(&fleet, &request(2, 1, 600));
    assert!(matches!(refused, Err(Refused::NoCapacity { .. })), "{refused:?}");

    planner.settle(&first, &plans);
    assert_eq!(devices(&planner.plan(&fleet, &request(3, 1, 400)).unwrap()), [0]);
    fleet.end(reservation.id, EndReason::Released).unwrap();
    planner.catch_up(&fleet);
    assert_eq!(devices(&planner.plan(&fleet, &request(4, 1, 600)).unwrap()), [0]);
    assert_eq!(fleet.host(host).unwrap().usage().devices.as_slice(), [0]);
}

#[test]
fn a_host_that_is_removed_takes_its_plans_along() {
    let mut fleet = Fleet::default();
    let gone = fleet.register_host(spec("gone", &[0, 1])).unwrap();
    let mut planner = Planner::default();
    planner.catch_up(&fleet);
    let (one, two) = (request(1, 1, WHOLE_GPU_MILLI), request(2, 1, WHOLE_GPU_MILLI));
    let (plan_one, plan_two) = (planner.plan(&fleet, &one).unwrap(), planner.plan(&fleet, &two).unwrap());
    fleet.remove_host(gone).unwrap();
    let other = fleet.register_host(spec("other", &[0])).unwrap();
    planner.catch_up(&fleet);
    let three = request(3, 1, WHOLE_GPU_MILLI);
    let plan_three = planner.plan(&fleet, &three).unwrap();
    assert_eq!(plan_three.plans[0].host, other);
    planner.settle(&one, &plan_one.plans);
    planner.settle(&two, &plan_two.plans);
    let refused = planner.plan(&fleet, &request(4, 1, 1));
    assert!(matches!(refused, Err(Refused::NoCapacity { .. })), "the plan on the other host is still in flight");
    planner.settle(&three, &plan_three.plans);
    assert_eq!(planner.plan(&fleet, &request(4, 1, WHOLE_GPU_MILLI)).unwrap().plans[0].host, other);
}

#[test]
fn a_planner_that_is_reset_serves_another_fleet() {
    let (mut first, mut second) = (Fleet::default(), Fleet::default());
    for n in 0..10 {
        first.register_host(spec(&format!("h{n}"), &[0])).unwrap();
    }
    second.register_host(spec("only", &[0, 1])).unwrap();
    let mut planner = Planner::default();
    for fleet in [&first, &second, &first] {
        planner.reset();
        planner.catch_up(fleet);
        let kind = request(1, 1, WHOLE_GPU_MILLI);
        let planned = planner.plan(fleet, &kind).unwrap();
        assert!(fleet.host(planned.plans[0].host).is_some());
        planner.settle(&kind, &planned.plans);
    }
}

#[test]
fn a_volume_in_flight_takes_disk_until_it_is_settled() {
    let mut fleet = Fleet::default();
    fleet.register_host(spec("h", &[])).unwrap();
    let volume = |id: &str| VolumeRequest {
        request_id: id.into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes: 1 << 39,
        constraints: Constraints::default(),
        ..VolumeRequest::default()
    };
    let mut planner = Planner::default();
    planner.catch_up(&fleet);
    let planned = planner.plan_volume(&fleet, &volume("1")).unwrap();
    planner.plan_volume(&fleet, &volume("2")).unwrap();
    assert_eq!(planner.plan_volume(&fleet, &volume("3")), None);
    planner.settle_volume(&volume("1"), &planned);
    planner.plan_volume(&fleet, &volume("3")).unwrap();
}

#[test]
fn why_machines_are_missing_is_told_where_others_are_planned() {
    let mut fleet = Fleet::default();
    fleet.register_host(spec("h", &[0, 1])).unwrap();
    let mut planner = Planner::default();
    planner.catch_up(&fleet);
    let three = PlaceRequest { count: 3, ..request(1, 1, WHOLE_GPU_MILLI) };
    let all_three = PlaceRequest { all_or_nothing: true, ..three.clone() };
    assert!(planner.try_plan(&fleet, &all_three).is_none());
    let Err(Refused::NoCapacity { hosts: 1, groups, .. }) = planner.plan(&fleet, &all_three) else {
        panic!("there is room for two only")
    };
    // Nothing of the two refused requests is left in flight.
    let planned = planner.try_plan(&fleet, &three).unwrap();
    assert_eq!((planned.plans.len(), planned.missing), (2, 1));
    assert_eq!(planned.rejections, groups);
    assert!(planner.try_plan(&fleet, &three).is_none());
}
