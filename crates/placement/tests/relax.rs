//! What would let a request fit that fits nowhere.
#![allow(clippy::unwrap_used)]

#[path = "support/script.rs"]
mod script;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;

use gantry_fleet::{FEATURE_LEVEL_MAX, Fleet, Grant};
use gantry_placement::{Ask, InFlight, Planner, Relaxed, Sight, changes, fits, rank, relaxations};
use gantry_types::{
    Affinity, Constraints, Device, DeviceShare, GpuShape, HostSpec, Label, PlaceRequest, Plan, Scope, Shape,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use script::{config, script, volume_script};
use world::World;

/// Every field that may be changed.
const FIELDS: [&str; 15] = [
    "constraints.affinity",
    "constraints.anti_affinity",
    "constraints.avoid_labels",
    "constraints.host",
    "constraints.max_per_host",
    "constraints.max_per_zone",
    "constraints.regions",
    "constraints.require_labels",
    "shape.cpu_kind",
    "shape.cpu_milli",
    "shape.gpu.count",
    "shape.gpu.kinds",
    "shape.gpu.milli",
    "shape.gpu.same_nvlink_group",
    "shape.memory_bytes",
];

/// Hosts that a machine of the request fits on.
fn feasible(world: &World, request: &PlaceRequest) -> usize {
    let (fleet, nothing) = (&world.fleet, InFlight::default());
    rank(fleet, &nothing, &mut Sight::of(fleet, &nothing), Ask::machine(fleet, request)).len()
}

/// The requests of a script that fit nowhere in the end, each with what would let it fit.
fn refused(world: &World, requests: &[PlaceRequest]) -> Vec<(PlaceRequest, Vec<Relaxed>)> {
    let fits_nowhere = |request: &&PlaceRequest| feasible(world, request) == 0;
    let refused = requests.iter().filter(fits_nowhere);
    refused.map(|request| (request.clone(), relaxations(&world.fleet, request))).collect()
}

proptest! {
    #![proptest_config(config(1_000))]

    /// Each change makes the request fit on as many hosts as it says, and is as small as it can be.
    #[test]
    fn a_change_that_is_told_really_makes_it_fit(
        script in prop_oneof![3 => script(1..60), 1 => volume_script(1..100)],
    ) {
        let mut world = World::default();
        world.run(&script)?;
        for (request, changes) in refused(&world, &script.requests) {
            for Relaxed { change, request: less } in changes {
                let fitting = |request: &PlaceRequest| feasible(&world, request);
                prop_assert_eq!(fitting(&less), change.hosts, "{}", change);
                prop_assert!(change.hosts > 0 && change.from != change.to, "{}", change);
                prop_assert_eq!(less.validate(), Ok(()));
                let mut planner = Planner::default();
                planner.catch_up(&world.fleet);
                prop_assert!(planner.plan(&world.fleet, &less).is_ok(), "{:?} with {}", request, change);
                if let Some(larger) = slightly_more(change.field, &less) {
                    prop_assert!(larger == request || fitting(&larger) == 0, "{} is not the largest", change);
                }
            }
        }
    }
}

/// A little more than was told to fit, for fields where that has a meaning.
fn slightly_more(field: &str, less: &PlaceRequest) -> Option<PlaceRequest> {
    let mut more = less.clone();
    match (field, &mut more.shape) {
        ("shape.cpu_milli", shape) => shape.cpu_milli += 1,
        ("shape.memory_bytes", shape) => shape.memory_bytes += 1,
        ("shape.gpu.count", Shape { gpu: Some(gpu), .. }) => gpu.count += 1,
        ("shape.gpu.milli", Shape { gpu: Some(gpu), .. }) => gpu.milli += 1,
        // 0 would be no limit.
        ("constraints.max_per_host", _) if less.constraints.max_per_host > 1 => more.constraints.max_per_host -= 1,
        ("constraints.max_per_zone", _) if less.constraints.max_per_zone > 1 => more.constraints.max_per_zone -= 1,
        _ => return None,
    }
    Some(more)
}

#[test]
fn every_field_is_told_of_somewhere() {
    let mut runner = TestRunner::new(config(1));
    let mut told = BTreeSet::new();
    for _ in 0..5_000 {
        let script = script(1..60).new_tree(&mut runner).unwrap().current();
        let mut world = World::default();
        world.run(&script).unwrap();
        let changes = refused(&world, &script.requests).into_iter().flat_map(|(_, changes)| changes);
        told.extend(changes.map(|relaxed| relaxed.change.field));
    }
    assert_eq!(told.into_iter().collect::<Vec<_>>(), FIELDS);
}

fn spec(name: &str, region: &str) -> HostSpec {
    let device = |index| Device { index, kind: "H100".into(), ..Device::default() };
    HostSpec {
        name: name.into(),
        region: region.into(),
        zone: "a".into(),
        cpu_shared_milli: 8_000,
        memory_bytes: 64 << 30,
        devices: (0..2).map(device).collect(),
        ..HostSpec::default()
    }
}

fn fleet(specs: impl IntoIterator<Item = HostSpec>) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.set_feature_level(FEATURE_LEVEL_MAX).unwrap();
    for spec in specs {
        fleet.register_host(spec).unwrap();
    }
    fleet
}

fn request(gpu: GpuShape, constraints: Constraints) -> PlaceRequest {
    PlaceRequest {
        request_id: "r".into(),
        app: "app".into(),
        shape: Shape { cpu_milli: 1_000, gpu: Some(gpu), ..Shape::default() },
        constraints,
        count: 1,
        ..PlaceRequest::default()
    }
}

fn gpu(count: u32, kind: &str) -> GpuShape {
    GpuShape { kinds: vec![kind.into()], count, milli: 1_000, ..GpuShape::default() }
}

fn told(fleet: &Fleet, request: &PlaceRequest) -> Vec<String> {
    relaxations(fleet, request).iter().map(|relaxed| relaxed.change.to_string()).collect()
}

#[test]
fn changes_are_told_in_words() {
    let l40s = HostSpec { devices: vec![Device { kind: "L40S".into(), ..Device::default() }], ..spec("h3", "fra") };
    let mut fleet = fleet([spec("h1", "ams"), spec("h2", "fra"), l40s]);
    assert_eq!(
        told(&fleet, &request(gpu(3, "H100"), Constraints::default())),
        ["2 hosts take it with shape.gpu.count 2 instead of 3"]
    );
    assert_eq!(
        told(&fleet, &request(gpu(1, "A100"), Constraints::default())),
        ["3 hosts take it with shape.gpu.kinds H100, L40S instead of A100"]
    );
    let taken = vec![DeviceShare { index: 0, milli: 300 }, DeviceShare { index: 1, milli: 600 }];
    let share = request(gpu(1, "H100"), Constraints { host: "h1".into(), ..Constraints::default() });
    fleet.grant(Grant { request: &share, plan: &Plan { host: 1, devices: taken, ..Plan::default() } });
    let words = [
        "1 host takes it with constraints.host none instead of h1",
        "1 host takes it with shape.gpu.milli 700 instead of 1000",
    ];
    assert_eq!(told(&fleet, &share), words);
    let elsewhere = Constraints { regions: vec!["lhr".into(), "cdg".into()], ..Constraints::default() };
    assert_eq!(
        told(&fleet, &request(gpu(2, "H100"), elsewhere)),
        ["1 host takes it with constraints.regions fra instead of lhr, cdg"]
    );
}

#[test]
fn one_wish_goes_if_that_is_enough_and_else_all_of_a_kind() {
    let label = |key: &str| Label { key: key.into(), value: "1".into() };
    let fleet = fleet([HostSpec { labels: vec![label("a")], ..spec("h1", "ams") }]);
    let with = |labels: &[&str]| {
        let require_labels = labels.iter().map(|key| label(key)).collect();
        request(gpu(1, "H100"), Constraints { require_labels, ..Constraints::default() })
    };
    let words = "1 host takes it with constraints.require_labels a=1 instead of a=1, b=1";
    assert_eq!(told(&fleet, &with(&["a", "b"])), [words]);
    let words = "1 host takes it with constraints.require_labels none instead of a=1, b=1, c=1";
    assert_eq!(told(&fleet, &with(&["a", "b", "c"])), [words]);
    let near = |app: &str, scope: Scope| Affinity { app: app.into(), group: String::new(), scope: scope as i32 };
    let affinity = vec![near("db", Scope::Host), near("web", Scope::Zone)];
    let near_both = request(gpu(1, "H100"), Constraints { affinity, ..Constraints::default() });
    assert!(told(&fleet, &near_both).is_empty(), "two changes would be needed");
}

#[test]
fn the_count_that_fits_is_told() {
    let fleet = fleet([spec("h1", "ams"), spec("h2", "fra")]);
    let asked = |count| PlaceRequest { count, all_or_nothing: true, ..request(gpu(1, "H100"), Constraints::default()) };
    let smaller = |count| {
        let request = asked(count);
        changes(&fleet, &request, &fits(&fleet, &Ask::machine(&fleet, &request))).pop()
    };
    assert!(smaller(4).is_none(), "all of them fit");
    let relaxed = smaller(5).unwrap();
    assert_eq!((relaxed.change.to.as_str(), relaxed.request), ("4", asked(4)));
}
