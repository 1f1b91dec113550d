//! What an app's policy changes.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{Fleet, Grant, LayerReport};
use gantry_placement::Planner;
use gantry_types::{AppPolicy, Digest, HostSpec, Image, Layer, LayerState, PlaceRequest, Plan, Policy, Preset, Shape};

const LAYER: u64 = 100 << 20;

/// Two hosts. The first one has the image, and a machine of the app.
fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    let layers = vec![Layer { digest: vec![1; 32], size_bytes: LAYER, ..Layer::default() }];
    let image = Image { reference: "image".into(), digest: vec![2; 32], layers, ..Image::default() };
    fleet.record_image(image).unwrap();
    for name in ["warm", "empty"] {
        let spec = HostSpec {
            name: name.into(),
            region: "ams".into(),
            zone: "a".into(),
            cpu_shared_milli: 64_000,
            memory_bytes: 64 << 30,
            ..HostSpec::default()
        };
        fleet.register_host(spec).unwrap();
    }
    let present = vec![(Digest([1; 32]), LAYER, LayerState::Unpacked)];
    fleet.report_layers(1, &LayerReport { present, ..LayerReport::default() }).unwrap();
    fleet.grant(Grant { request: &request(), plan: &Plan { host: 1, ..Plan::default() } });
    fleet
}

fn request() -> PlaceRequest {
    PlaceRequest {
        request_id: "request".into(),
        app: "app".into(),
        image: "image".into(),
        shape: Shape { cpu_milli: 1_000, memory_bytes: 1 << 30, ..Shape::default() },
        count: 1,
        ..PlaceRequest::default()
    }
}

fn host(planner: &mut Planner, fleet: &Fleet) -> String {
    planner.catch_up(fleet);
    let planned = planner.plan(fleet, &request()).unwrap();
    planner.settle(&request(), &planned.plans);
    fleet.host(planned.plans[0].host).unwrap().name.to_string()
}

/// For a request that comes once, whose host is searched for, and for one that comes often, which gets a ranking.
#[test]
fn a_changed_policy_changes_the_choice() {
    let spread = Policy { preset: Preset::Spread as i32, ..Policy::DEFAULT };
    let apart = Policy { ready_milli: Some(10), spread_milli: Some(5_000), ..Policy::DEFAULT };
    let together = Policy { spread_milli: Some(0), ..spread };
    for times in [1, 20] {
        let (mut fleet, mut planner) = (fleet(), Planner::default());
        let policies = [
            (Policy::DEFAULT, "warm"),
            (spread, "empty"),
            (Policy { preset: Preset::Pack as i32, ..Policy::DEFAULT }, "warm"),
            (apart, "empty"),
            (together, "warm"),
        ];
        for (policy, expected) in policies {
            fleet.set_policy(AppPolicy { app: "app".into(), policy }).unwrap();
            for _ in 0..times {
                assert_eq!(host(&mut planner, &fleet), expected, "{policy:?} {times} times");
            }
        }
    }
}

/// Another app goes by its own.
#[test]
fn a_policy_is_of_one_app() {
    let mut fleet = fleet();
    let policy = Policy { preset: Preset::Spread as i32, ..Policy::DEFAULT };
    fleet.set_policy(AppPolicy { app: "other".into(), policy }).unwrap();
    assert_eq!(host(&mut Planner::default(), &fleet), "warm");
}
