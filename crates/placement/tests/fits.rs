//! How many more machines fit, against placing them one after the other until there is no room.
#![allow(clippy::unwrap_used)]

#[path = "support/script.rs"]
mod script;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;

use gantry_fleet::{FEATURE_LEVEL_MAX, Fleet};
use gantry_placement::{Ask, FITS_ONE_BY_ONE, FITS_PER_HOST, Fits, FitsIn, InFlight, Planner, Sight, fits, rank};
use gantry_types::{Affinity, Constraints, HostSpec, PlaceRequest, Scope, Shape};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use script::{config, script, volume_script};
use world::World;

proptest! {
    #![proptest_config(config(1_000))]

    /// Whatever is asked for, counts over zones and volumes included.
    #[test]
    fn as_many_fit_as_can_be_placed(script in prop_oneof![3 => script(1..40), 1 => volume_script(1..80)]) {
        let mut world = World::default();
        world.run(&script)?;
        for request in &script.requests {
            let counted = fits(&world.fleet, &Ask::machine(&world.fleet, request));
            prop_assert_eq!(counted, placed(&world.fleet, request), "{:?}", request);
        }
    }
}

/// A test that counts nothing proves little.
#[test]
fn the_scripts_leave_room() {
    let mut runner = TestRunner::new(config(1));
    let (mut none, mut one, mut more, mut counted_by_zone) = (0, 0, 0, 0);
    for _ in 0..300 {
        let script = script(1..40).new_tree(&mut runner).unwrap().current();
        let mut world = World::default();
        world.run(&script).unwrap();
        for request in &script.requests {
            match fits(&world.fleet, &Ask::machine(&world.fleet, request)).total.machines {
                0 => none += 1,
                1 => one += 1,
                _ => more += 1,
            }
            counted_by_zone += u32::from(request.constraints.max_per_zone > 0);
        }
    }
    assert!(none > 100 && one > 50 && more > 100, "{none} {one} {more}");
    assert!(counted_by_zone > 20, "{counted_by_zone}");
}

fn placed(fleet: &Fleet, request: &PlaceRequest) -> Fits {
    let mut planner = Planner::default();
    planner.catch_up(fleet);
    let mut fits = Fits::default();
    let mut placed: BTreeMap<u32, u64> = BTreeMap::new();
    while let Some(planned) = planner.try_plan(fleet, &PlaceRequest { count: 1, ..request.clone() }) {
        *placed.entry(planned.plans[0].host).or_default() += 1;
    }
    let nothing = InFlight::default();
    for first in rank(fleet, &nothing, &mut Sight::of(fleet, &nothing), Ask::machine(fleet, request)) {
        let host = fleet.host(first.host()).unwrap();
        let machines = placed.get(&host.id).copied().unwrap_or_default();
        let region = fits.regions.entry(host.spec.region.clone()).or_default();
        for sum in [&mut fits.total, region] {
            *sum = FitsIn { machines: sum.machines + machines, hosts: sum.hosts + 1 };
        }
    }
    fits
}

fn fleet(hosts: u32) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.set_feature_level(FEATURE_LEVEL_MAX).unwrap();
    for n in 0..hosts {
        let spec = HostSpec {
            name: format!("h{n}"),
            region: "ams".into(),
            zone: format!("ams-{}", n % 30),
            cpu_shared_milli: 1_000_000,
            memory_bytes: u64::from(n % 2) << 60,
            ..HostSpec::default()
        };
        fleet.register_host(spec).unwrap();
    }
    fleet
}

fn request(constraints: Constraints) -> PlaceRequest {
    let shape = Shape { cpu_milli: 10, ..Shape::default() };
    PlaceRequest { app: "app".into(), shape, constraints, count: 1, ..PlaceRequest::default() }
}

#[test]
fn where_counting_stops_the_answer_says_so() {
    let fleet = fleet(2);
    let count = |request: &PlaceRequest| fits(&fleet, &Ask::machine(&fleet, request));
    let tiny = count(&request(Constraints::default()));
    assert_eq!((tiny.total.machines, tiny.total.hosts, tiny.at_least), (2 * u64::from(FITS_PER_HOST), 2, true));
    let few = count(&request(Constraints { max_per_host: FITS_PER_HOST - 1, ..Constraints::default() }));
    assert_eq!((few.total.machines, few.at_least), (2 * u64::from(FITS_PER_HOST - 1), false));

    // As large as anything may be, where sums could overflow.
    let largest = Shape { memory_bytes: 1 << 59, ..Shape::default() };
    let large = count(&PlaceRequest { shape: largest, ..request(Constraints::default()) });
    assert_eq!((large.total.machines, large.total.hosts, large.at_least), (2, 1, false));
}

#[test]
fn machines_in_a_zone_count_for_all_of_its_hosts() {
    let fleet = fleet(60);
    let count = |constraints| fits(&fleet, &Ask::machine(&fleet, &request(constraints)));
    let three = count(Constraints { max_per_zone: 3, ..Constraints::default() });
    assert_eq!((three.total.machines, three.at_least), (90, false));
    let own = Affinity { app: "app".into(), group: String::new(), scope: Scope::Zone as i32 };
    let apart = count(Constraints { anti_affinity: vec![own], ..Constraints::default() });
    assert_eq!((apart.total.machines, apart.total.hosts, apart.at_least), (30, 60, false));
    let many = count(Constraints { max_per_zone: 100_000, ..Constraints::default() });
    assert_eq!((many.total.machines, many.at_least), (FITS_ONE_BY_ONE.into(), true));
}
