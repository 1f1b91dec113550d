//! The last check before something is committed says no by the right name, and to nothing that fits.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{Fleet, Grant, NewVolume, Scheduling};
use gantry_types::{
    Constraints, CpuKind, Device, DeviceShare, GpuShape, HostSpec, PlaceRequest, Plan, Rejection, Shape, VolumeRequest,
};

const CPU_MILLI: u64 = 8_000;
const MEMORY_BYTES: u64 = 1_000;
const VOLUME_BYTES: u64 = 500;

/// Two hosts; on the first, device 2 is half taken, volume 1 is used and volume 2 is not; volume 3 is on the second.
fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    let device = |(index, kind): (u32, &str)| Device { index, kind: kind.into(), memory_bytes: 1, ..Device::default() };
    for name in ["a", "b"] {
        let spec = HostSpec {
            name: name.into(),
            region: "region".into(),
            zone: "zone".into(),
            cpu_shared_milli: CPU_MILLI,
            cpu_performance_milli: CPU_MILLI / 2,
            memory_bytes: MEMORY_BYTES,
            volume_bytes: VOLUME_BYTES,
            devices: [(0, "big"), (2, "big"), (5, "small")].map(device).to_vec(),
            ..HostSpec::default()
        };
        fleet.register_host(spec).unwrap();
    }
    for host in [1, 1, 2] {
        fleet.create_volume(NewVolume { request: &volume(100), host, hold: None });
    }
    let constraints = Constraints { volume: 1, ..Constraints::default() };
    let request = PlaceRequest { constraints, ..request(gpu(1, 500)) };
    let plan = Plan { host: 1, devices: vec![DeviceShare { index: 2, milli: 500 }], ..Plan::default() };
    fleet.grant(Grant { request: &request, plan: &plan });
    fleet.check().unwrap();
    fleet
}

fn gpu(count: u32, milli: u32) -> Shape {
    Shape { gpu: Some(GpuShape { kinds: Vec::new(), count, milli, ..GpuShape::default() }), ..Shape::default() }
}

fn request(shape: Shape) -> PlaceRequest {
    PlaceRequest { request_id: "r".into(), app: "app".into(), shape, count: 1, ..PlaceRequest::default() }
}

fn volume(size_bytes: u64) -> VolumeRequest {
    VolumeRequest {
        request_id: "r".into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes,
        ..VolumeRequest::default()
    }
}

fn word(answer: Result<(), Rejection>) -> &'static str {
    answer.map_or_else(|rejection| rejection.constraint, |()| "fits")
}

#[test]
fn shapes_and_devices() {
    let fleet = fleet();
    let cpu = |kind: CpuKind, cpu_milli| Shape { cpu_kind: kind as i32, cpu_milli, ..Shape::default() };
    let memory = |memory_bytes| Shape { memory_bytes, ..Shape::default() };
    let kind = |kind: &str| Shape {
        gpu: Some(GpuShape { kinds: vec![kind.into()], count: 1, milli: 500, ..GpuShape::default() }),
        ..Shape::default()
    };
    type Case<'a> = (&'a str, Shape, &'a [(u32, u32)]);
    let cases: Vec<Case<'_>> = vec![
        ("fits", cpu(CpuKind::Shared, CPU_MILLI), &[]),
        ("cpu", cpu(CpuKind::Shared, CPU_MILLI + 1), &[]),
        ("fits", cpu(CpuKind::Performance, CPU_MILLI / 2), &[]),
        ("cpu", cpu(CpuKind::Performance, CPU_MILLI / 2 + 1), &[]),
        ("fits", memory(MEMORY_BYTES), &[]),
        ("memory", memory(MEMORY_BYTES + 1), &[]),
        ("gpu", memory(1), &[(0, 1_000)]),
        ("fits", gpu(1, 1_000), &[(0, 1_000)]),
        ("fits", gpu(1, 500), &[(2, 500)]),
        ("gpu", gpu(1, 501), &[(2, 501)]),
        ("gpu", gpu(1, 1_000), &[(2, 1_000)]),
        ("fits", gpu(2, 1_000), &[(0, 1_000), (5, 1_000)]),
        ("gpu", gpu(2, 1_000), &[(5, 1_000), (0, 1_000)]),
        ("gpu", gpu(2, 1_000), &[(0, 1_000), (0, 1_000)]),
        ("gpu", gpu(2, 1_000), &[(0, 1_000)]),
        ("gpu", gpu(1, 1_000), &[(0, 1_000), (5, 1_000)]),
        ("gpu", gpu(1, 1_000), &[(1, 1_000)]),
        // Less, or more, than the shape says.
        ("gpu", gpu(1, 1_000), &[(0, 500)]),
        ("gpu", gpu(1, 500), &[(0, 1_000)]),
        ("fits", kind("small"), &[(5, 500)]),
        ("gpu", kind("small"), &[(0, 500)]),
    ];
    for (expected, shape, devices) in cases {
        let devices = devices.iter().map(|&(index, milli)| DeviceShare { index, milli }).collect();
        let (request, plan) = (request(shape), Plan { host: 1, devices, ..Plan::default() });
        let answer = fleet.fits(Grant { request: &request, plan: &plan });
        assert_eq!(word(answer.clone()), expected, "{:?} on {:?}: {answer:?}", request.shape, plan.devices);
    }
}

#[test]
fn hosts_and_volumes_in_use() {
    let mut fleet = fleet();
    let fits = |fleet: &Fleet, host: u32, volume: u64| {
        let constraints = Constraints { volume, ..Constraints::default() };
        let request = PlaceRequest { constraints, ..request(Shape { cpu_milli: 1, ..Shape::default() }) };
        word(fleet.fits(Grant { request: &request, plan: &Plan { host, ..Plan::default() } }))
    };
    assert_eq!(fits(&fleet, 1, 2), "fits");
    assert_eq!(fits(&fleet, 1, 1), "volume", "used");
    assert_eq!(fits(&fleet, 1, 3), "volume", "elsewhere");
    assert_eq!(fits(&fleet, 1, 4), "volume", "unknown");
    assert_eq!(fits(&fleet, 2, 3), "fits");
    assert_eq!(fits(&fleet, 3, 0), "host");
    for scheduling in [Scheduling::Cordoned, Scheduling::Draining] {
        fleet.set_scheduling(1, scheduling).unwrap();
        assert_eq!(fits(&fleet, 1, 0), "scheduling");
    }
}

#[test]
fn disk_for_volumes() {
    let mut fleet = fleet();
    let fits = |fleet: &Fleet, host, size_bytes| {
        word(fleet.volume_fits_host(NewVolume { request: &volume(size_bytes), host, hold: None }))
    };
    // Two of a hundred bytes are on the first host, one on the second.
    assert_eq!(fits(&fleet, 1, VOLUME_BYTES - 200), "fits");
    assert_eq!(fits(&fleet, 1, VOLUME_BYTES - 199), "volume_disk");
    assert_eq!(fits(&fleet, 2, VOLUME_BYTES - 100), "fits");
    assert_eq!(fits(&fleet, 2, u64::MAX), "volume_disk");
    assert_eq!(fits(&fleet, 3, 1), "host");
    fleet.delete_volume(2).unwrap();
    assert_eq!(fits(&fleet, 1, VOLUME_BYTES - 100), "fits");
    for scheduling in [Scheduling::Cordoned, Scheduling::Draining] {
        fleet.set_scheduling(1, scheduling).unwrap();
        assert_eq!(fits(&fleet, 1, 1), "scheduling");
    }
}
