//! What a planner chooses, and why, in fleets small enough to see it.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{Fleet, Grant};
use gantry_placement::{Planned, Planner};
use gantry_types::{
    Device, DeviceShare, Digest, GpuShape, HostSpec, Image, Layer, PlaceRequest, Plan, Shape, WHOLE_GPU_MILLI,
};

const LAYER: u64 = 1_000_000_000;

/// Hosts of these names, alike but for that, each with so many GPUs.
fn fleet(names: &[&str], gpus: u32) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.begin(1, 1_000_000);
    for name in names {
        let device = |index| Device { index, kind: "a".into(), ..Device::default() };
        let spec = HostSpec {
            name: (*name).into(),
            region: "region".into(),
            zone: "zone".into(),
            cpu_shared_milli: 64_000,
            memory_bytes: 512 << 30,
            devices: (0..gpus).map(device).collect(),
            ..HostSpec::default()
        };
        fleet.register_host(spec).unwrap();
    }
    fleet
}

fn request(app: &str, milli: u32) -> PlaceRequest {
    let gpu = GpuShape { count: 1, milli, ..GpuShape::default() };
    let shape = Shape { cpu_milli: 4_000, memory_bytes: 8 << 30, gpu: (milli > 0).then_some(gpu), ..Shape::default() };
    PlaceRequest { app: app.into(), shape, count: 1, ..PlaceRequest::default() }
}

fn plan(planner: &mut Planner, fleet: &Fleet, request: &PlaceRequest) -> Planned {
    planner.catch_up(fleet);
    planner.plan(fleet, request).unwrap()
}

/// Whole GPUs are what is asked for, so the half of one that is left over is worth nothing to anybody else.
#[test]
fn a_share_goes_to_the_gpu_that_is_begun_on_whichever_host_it_is() {
    for begun in 1..=3 {
        let mut fleet = fleet(&["x", "y", "z"], 2);
        let standing = Plan { host: begun, devices: vec![DeviceShare { index: 1, milli: 500 }], ..Plan::default() };
        fleet.grant(Grant { request: &request("standing", 500), plan: &standing });
        let mut planner = Planner::default();
        planner.expect(&request("", WHOLE_GPU_MILLI).shape, 100);
        assert_eq!(plan(&mut planner, &fleet, &request("app", 500)).plans, [standing]);
    }
}

/// Before any agent says so, and before the first plan is even applied.
#[test]
fn a_plan_in_flight_counts_as_a_pull() {
    let mut fleet = fleet(&["x"], 0);
    for n in 1..=2 {
        // As many as are fetched at a time, so that another image waits.
        let digest = |at: u8| Digest([10 * n + at; 32]).0.to_vec();
        let layers = (0..4).map(|at| Layer { digest: digest(at), size_bytes: LAYER, ..Layer::default() }).collect();
        let (reference, digest) = (format!("image-{n}"), vec![9; 32]);
        fleet.record_image(Image { reference, digest, layers, ..Image::default() }).unwrap();
    }
    let image = |n: u8| PlaceRequest { image: format!("image-{n}"), ..request("app", 0) };
    let ready_us = |planner: &mut Planner, n| plan(planner, &fleet, &image(n)).choices[0].estimate.ready_us;
    let alone_us = ready_us(&mut Planner::default(), 2);
    let mut planner = Planner::default();
    let first_us = ready_us(&mut planner, 1);
    assert_eq!(first_us, alone_us);
    assert_eq!(ready_us(&mut planner, 1), first_us, "the same layers come once");
    assert!(ready_us(&mut planner, 2) > alone_us, "they share the link with those of the first image");
}

/// Nothing but their names tells these hosts apart.
#[test]
fn equal_hosts_come_in_an_order_that_is_not_that_of_registration() {
    let hosts = |names: &[&str]| -> Vec<String> {
        let (fleet, mut planner) = (fleet(names, 4), Planner::default());
        let planned = plan(&mut planner, &fleet, &PlaceRequest { count: 12, ..request("app", WHOLE_GPU_MILLI) });
        planned.plans.iter().map(|plan| fleet.host(plan.host).unwrap().name.to_string()).collect()
    };
    assert_eq!(hosts(&["one", "two", "three", "four"]), hosts(&["four", "two", "three", "one"]));
    assert_eq!(hosts(&["one", "two", "three", "four"]), hosts(&["three", "one", "four", "two"]));
}
