//! The planner that looks at few hosts chooses as one that looks at all of them.
#![allow(clippy::unwrap_used)]

#[path = "support/script.rs"]
mod script;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;

use gantry_fleet::{Fleet, LayerReport};
use gantry_placement::{Ask, CONSTRAINTS, InFlight, Planner, Sight, best, present_bytes, rank, refusals};
use gantry_types::{HostSpec, LayerState, PlaceRequest, Shape};
use proptest::{collection::vec, prelude::*, sample::Index, strategy::ValueTree, test_runner::TestRunner};
use script::{config, digest, image_of, layer_bytes, script, shape, spec, volume_script};
use world::World;

proptest! {
    #![proptest_config(config(2_000))]

    /// The same host and score each time, whatever came in between: plans applied, refused or released, hosts that come,
    /// change and go, layers, images recorded anew. What is planned fits beside all that is in flight.
    #[test]
    fn the_planner_agrees_with_looking_at_every_host(script in script(1..60)) {
        World::default().run(&script)?;
    }

    /// The same where many machines use volumes, and much is held for them.
    #[test]
    fn the_planner_agrees_about_volumes(script in volume_script(1..160)) {
        World::default().run(&script)?;
    }

    /// Hosts hold different bytes of the image, so nothing is decided by their numbers.
    #[test]
    fn the_order_of_registration_plays_no_part(
        specs in vec(spec(), 1..8),
        shape in shape(),
        swaps in vec((any::<Index>(), any::<Index>()), 0..8),
        machines in 1..12u32,
    ) {
        let mut order: Vec<usize> = (0..specs.len()).collect();
        for (a, b) in swaps {
            order.swap(a.index(specs.len()), b.index(specs.len()));
        }
        let sorted: Vec<usize> = (0..specs.len()).collect();
        let one = names(&specs, &sorted, &shape, machines);
        let other = names(&specs, &order, &shape, machines);
        prop_assert_eq!(one, other);
    }

    /// All else equal, a host that has more of the image never ranks behind one that has less.
    #[test]
    fn more_overlap_never_ranks_lower(
        host in spec(),
        shape in shape(),
        image in vec(0..8u8, 1..6),
        few in vec(0..8u8, 0..5),
        more in vec(0..8u8, 0..5),
        more_first in any::<bool>(),
    ) {
        let mut fleet = Fleet::default();
        fleet.record_image(image_of(0, &image)).unwrap();
        let both: Vec<u8> = few.iter().chain(&more).copied().collect();
        let caches = if more_first { [&both, &few] } else { [&few, &both] };
        for (n, cache) in (0..).zip(caches) {
            let id = fleet.register_host(HostSpec { name: format!("host-{n}"), ..host.clone() }).unwrap();
            fleet.report_layers(id, &report(cache)).unwrap();
        }
        let request = request(&shape);
        let (ask, nothing) = (Ask::machine(&fleet, &request), InFlight::default());
        let mut sight = Sight::of(&fleet, &nothing);
        let ranked = rank(&fleet, &nothing, &mut sight, ask);
        prop_assert_eq!(ranked.first().copied(), best(&fleet, &nothing, &mut sight, ask));
        if let [first, second] = ranked[..] {
            let bytes = [first, second].map(|ranked| present_bytes(ask.image, fleet.host(ranked.host()).unwrap()));
            prop_assert!(bytes[0] >= bytes[1], "{ranked:?}");
            prop_assert!(first.estimate.ready_us <= second.estimate.ready_us, "{ranked:?}");
        }
    }

    /// Every host is ranked or refused by exactly one constraint.
    #[test]
    fn hosts_are_ranked_or_counted_in_one_group(specs in vec(spec(), 0..8), shape in shape()) {
        let mut fleet = Fleet::default();
        for (n, spec) in (0..).zip(specs) {
            fleet.register_host(HostSpec { name: format!("host-{n}"), ..spec }).unwrap();
        }
        let request = request(&shape);
        let (ask, nothing) = (Ask::machine(&fleet, &request), InFlight::default());
        let refused: usize = refusals(&fleet, &nothing, &ask).iter().map(|group| group.hosts).sum();
        let ranked = rank(&fleet, &nothing, &mut Sight::of(&fleet, &nothing), ask);
        prop_assert_eq!(ranked.len() + refused, fleet.host_count());
    }
}

proptest! {
    #![proptest_config(config(60))]

    /// Long enough for rankings to be swept and to fall behind.
    #[test]
    fn the_planner_agrees_in_the_long_run(script in script(400..900)) {
        World::default().run(&script)?;
    }
}

/// S8: where nothing is known of an image, the machine goes where it would go without one, and the plan says so.
#[test]
fn an_image_that_nobody_recorded_is_placed_without_it() {
    let mut fleet = Fleet::default();
    for n in 0..3 {
        fleet.register_host(HostSpec { name: format!("host-{n}"), ..roomy() }).unwrap();
    }
    let shape = Shape { cpu_milli: 1_000, memory_bytes: 1 << 20, ..Shape::default() };
    let unknown = PlaceRequest { image: "nobody/recorded:1".into(), ..request(&shape) };
    let blind = PlaceRequest { image: String::new(), ..request(&shape) };
    let plan = |request: &PlaceRequest| {
        let mut planner = Planner::default();
        planner.catch_up(&fleet);
        planner.plan(&fleet, request).unwrap()
    };
    let (unknown, blind) = (plan(&unknown), plan(&blind));
    assert_eq!(unknown.plans, blind.plans);
    assert!(!unknown.choices[0].image_known && unknown.choices[0].image_bytes == 0);
    let recorded = {
        fleet.record_image(image_of(0, &[1, 2])).unwrap();
        let mut planner = Planner::default();
        planner.catch_up(&fleet);
        planner.plan(&fleet, &request(&shape)).unwrap()
    };
    assert!(recorded.choices[0].image_known && recorded.choices[0].image_bytes > 0);
}

/// What is unpacked under another digest makes a host the best one, also where others were ranked before that was known:
/// for a request that comes once, whose host is searched for, and for one that comes often, which gets a ranking.
#[test]
fn content_known_under_another_digest_is_found() {
    let of_one_content = |n: u8, layer: u8| {
        let mut image = image_of(n, &[layer]);
        image.layers[0].diff_id = digest(200).0.to_vec();
        image
    };
    for times in [1, 20] {
        let mut fleet = Fleet::default();
        fleet.record_image(of_one_content(0, 7)).unwrap();
        for (n, (layer, state)) in (0..).zip([(7, LayerState::Blob), (6, LayerState::Unpacked)]) {
            let id = fleet.register_host(HostSpec { name: format!("host-{n}"), ..roomy() }).unwrap();
            let present = vec![(digest(layer), layer_bytes(layer), state)];
            fleet.report_layers(id, &LayerReport { present, ..LayerReport::default() }).unwrap();
        }
        let shape = Shape { cpu_milli: 1, memory_bytes: 1, ..Shape::default() };
        let request = request(&shape);
        let mut planner = Planner::default();
        let mut host = |fleet: &Fleet| {
            planner.catch_up(fleet);
            let planned = planner.plan(fleet, &request).unwrap();
            planner.settle(&request, &planned.plans);
            fleet.host(planned.plans[0].host).unwrap().name.to_string()
        };
        (0..times).for_each(|_| assert_eq!(host(&fleet), "host-0"));
        fleet.record_image(of_one_content(1, 6)).unwrap();
        assert_eq!(host(&fleet), "host-1", "after {times} times");
    }
}

/// A test that plans little proves little.
#[test]
fn the_scripts_plan_and_refuse() {
    let mut runner = TestRunner::new(config(1));
    let (mut planned, mut refused, mut refused_by) = (0, 0, BTreeSet::new());
    let (mut by_name, mut on_hold, mut forks) = (0, 0, 0);
    for _ in 0..400 {
        let mut world = World::default();
        world.run(&script(1..60).new_tree(&mut runner).unwrap().current()).unwrap();
        (planned, refused) = (planned + world.planned, refused + world.refused);
        refused_by.append(&mut world.refused_by);
        world.run(&volume_script(1..160).new_tree(&mut runner).unwrap().current()).unwrap();
        refused_by.extend(world.refused_by);
        (by_name, on_hold, forks) = (by_name + world.by_name, on_hold + world.on_hold, forks + world.forks);
    }
    assert!(planned > 500 && refused > 100, "{planned} planned, {refused} refused");
    assert!(by_name > 20 && on_hold > 20 && forks > 20, "{by_name} by name, {on_hold} on a hold, {forks} forks");
    let idle = CONSTRAINTS.iter().map(|constraint| constraint.name).find(|name| !refused_by.contains(name));
    assert_eq!(idle, None, "a constraint never refused a host");
}

fn roomy() -> HostSpec {
    HostSpec {
        memory_bytes: 1 << 30,
        cpu_shared_milli: 4_000,
        zone: "z".into(),
        region: "r".into(),
        ..HostSpec::default()
    }
}

fn request(shape: &Shape) -> PlaceRequest {
    PlaceRequest {
        request_id: "request".into(),
        app: "app".into(),
        image: "image-0".into(),
        shape: shape.clone(),
        count: 1,
        ..PlaceRequest::default()
    }
}

fn report(layers: &[u8]) -> LayerReport {
    let present = layers.iter().map(|&n| (digest(n), layer_bytes(n), LayerState::Unpacked)).collect();
    LayerReport { full: true, present, ..LayerReport::default() }
}

/// Which hosts get the machines of one request after the other, with hosts registered in the given order.
fn names(specs: &[HostSpec], order: &[usize], shape: &Shape, machines: u32) -> Vec<String> {
    let mut fleet = Fleet::default();
    let all: Vec<u8> = (0..specs.len() as u8).collect();
    fleet.record_image(image_of(0, &all)).unwrap();
    for &n in order {
        let id = fleet.register_host(HostSpec { name: format!("host-{n}"), ..specs[n].clone() }).unwrap();
        fleet.report_layers(id, &report(&[n as u8])).unwrap();
    }
    let mut planner = Planner::default();
    planner.catch_up(&fleet);
    let chosen = (0..machines).map_while(|_| planner.plan(&fleet, &request(shape)).ok());
    chosen.map(|planned| fleet.host(planned.plans[0].host).unwrap().name.to_string()).collect()
}
