//! Fleets in which not every host is looked at: what is chosen may not be the very best, but it fits, is near to the best,
//! and what fits anywhere is placed.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{Fleet, Grant, LayerReport};
use gantry_placement::{Ask, Planner, admits};
use gantry_types::{Device, Digest, GpuShape, HostSpec, Image, Layer, LayerState, PlaceRequest, Plan, Shape};

const HOSTS: u32 = 2_200;
const GIB: u64 = 1 << 30;

fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

fn request(app: &str, count: u32, milli: u32, cpu_milli: u64) -> PlaceRequest {
    let gpu = GpuShape { count, milli, ..GpuShape::default() };
    PlaceRequest {
        app: app.into(),
        image: "image".into(),
        shape: Shape { cpu_milli, memory_bytes: 8 * GIB, gpu: (count > 0).then_some(gpu), ..Shape::default() },
        count: 1,
        ..PlaceRequest::default()
    }
}

/// Hosts of eight GPUs, some of which are taken, with layers of the image here and there.
fn fleet(state: &mut u64) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.begin(1, 1_000_000);
    let layer = |n: u8| Layer { digest: digest(n).0.to_vec(), size_bytes: u64::from(n) * GIB / 4, diff_id: Vec::new() };
    let (reference, platform) = ("image".to_owned(), String::new());
    let layers = (1..5).map(layer).collect();
    fleet.record_image(Image { reference, digest: vec![9; 32], platform, layers }).unwrap();
    for n in 0..HOSTS {
        let device = |index| Device { index, kind: "a".into(), ..Device::default() };
        let spec = HostSpec {
            name: format!("host-{n}"),
            region: format!("region-{}", n % 5),
            zone: "zone".into(),
            cpu_shared_milli: 64_000,
            memory_bytes: 512 * GIB,
            devices: (0..8).map(device).collect(),
            ..HostSpec::default()
        };
        let id = fleet.register_host(spec).unwrap();
        for index in 0..8 {
            let milli = [0, 0, 1_000, 500, 250][draw(state, 5) as usize];
            let plan = Plan { host: id, devices: vec![gantry_types::DeviceShare { index, milli }], ..Plan::default() };
            if milli > 0 {
                fleet.grant(Grant { request: &request("standing", 1, milli, 4_000), plan: &plan });
            }
        }
        let present = (1..5).filter(|_| draw(state, 3) == 0);
        let present = present.map(|n| (digest(n), u64::from(n) * GIB / 4, LayerState::Unpacked)).collect();
        fleet.report_layers(id, &LayerReport { full: true, present, ..LayerReport::default() }).unwrap();
    }
    fleet
}

#[test]
fn what_is_chosen_fits_and_is_near_to_the_best() {
    let mut state = 7;
    let mut fleet = fleet(&mut state);
    let mut planner = Planner::default();
    let (mut cost_us, mut best_us) = (0, 0);
    for n in 0..60 {
        let (count, milli) =
            [(1, 1_000), (1, 500), (1, 250), (2, 1_000), (4, 1_000), (0, 0)][draw(&mut state, 6) as usize];
        let mut asked = request(&format!("app-{}", n % 7), count, milli, 2_000);
        if draw(&mut state, 3) == 0 {
            asked.constraints.regions = vec!["region-3".into(), "region-1".into()];
        }
        planner.catch_up(&fleet);
        let best = planner.clone().plan_by_all(&fleet, &asked).unwrap();
        let planned = planner.plan(&fleet, &asked).unwrap();
        let plan = &planned.plans[0];
        assert_eq!(admits(&fleet, &Ask::machine(&fleet, &asked), plan.host), Ok(()));
        cost_us += planned.choices[0].costs_us.iter().sum::<i64>();
        best_us += best.choices[0].costs_us.iter().sum::<i64>();
        fleet.grant(Grant { request: &asked, plan });
        planner.settle(&asked, &planned.plans);
    }
    let worse_s = (cost_us - best_us) as f64 / 60.0 / 1e6;
    // A GPU is worth a minute; looking at one host alone makes 1.8 s.
    assert!((-0.001..1.2).contains(&worse_s), "{worse_s} s worse than the best, in the mean");
}

/// Whatever kind of room the only host that fits has.
#[test]
fn the_only_host_that_fits_is_found() {
    let mut state = 11;
    let mut fleet = fleet(&mut state);
    for only in [1, 77, 1_100, HOSTS] {
        let name = fleet.host(only).unwrap().name.to_string();
        let region = fleet.host(only).unwrap().spec.region.clone();
        let mut spec = (*fleet.host(only).unwrap().spec).clone();
        spec.labels = vec![gantry_types::Label { key: "only".into(), value: name.clone() }];
        fleet.register_host(spec.clone()).unwrap();
        let mut asked = request("app", 0, 0, 500);
        asked.constraints.require_labels = spec.labels;
        asked.constraints.regions = vec![region];
        let mut planner = Planner::default();
        planner.catch_up(&fleet);
        assert_eq!(planner.plan(&fleet, &asked).map(|planned| planned.plans[0].host), Ok(only));
        asked.constraints.require_labels[0].value = "nobody".into();
        assert!(planner.plan(&fleet, &asked).is_err());
    }
}
