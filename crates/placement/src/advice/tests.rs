use std::collections::BTreeSet;

use gantry_fleet::{Fleet, Grant, LayerReport};
use gantry_types::{Digest, HostSpec, Image, Layer, LayerState, PlaceRequest, Plan, Shape};
use proptest::prelude::{any, prop, prop_assert, proptest};

use super::*;

const GB: u64 = 1_000_000_000;

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

/// Layer n has n GB.
fn image(name: &str, layers: &[u8]) -> Image {
    let layer = |&n: &u8| Layer { digest: digest(n).0.to_vec(), size_bytes: u64::from(n) * GB, diff_id: Vec::new() };
    let digest = digest(200 + layers.iter().sum::<u8>() % 50).0.to_vec();
    Image { reference: name.to_owned(), digest, platform: String::new(), layers: layers.iter().map(layer).collect() }
}

struct World {
    fleet: Fleet,
    advisor: Advisor,
    rev: u64,
    now: Stamp,
}

impl World {
    fn new(hosts: u32) -> Self {
        let mut fleet = Fleet::default();
        for n in 0..hosts {
            let spec = HostSpec {
                name: format!("h{n}"),
                region: "r".into(),
                zone: "z".into(),
                cpu_shared_milli: 8_000,
                ..HostSpec::default()
            };
            fleet.register_host(spec).unwrap();
        }
        let advisor = Advisor::of(&fleet, AdviceRules::default());
        Self { fleet, advisor, rev: 1, now: 0 }
    }

    fn at(&mut self, now: Stamp) {
        (self.rev, self.now) = (self.rev + 1, now);
        self.fleet.begin(self.rev, now);
    }

    fn happened(&mut self) {
        let events = self.fleet.take_events();
        self.advisor.follow(&self.fleet, &events);
    }

    fn record(&mut self, name: &str, layers: &[u8]) {
        self.fleet.record_image(image(name, layers)).unwrap();
        self.happened();
    }

    fn has(&mut self, host: HostId, layers: &[u8]) {
        let present = layers.iter().map(|&n| (digest(n), u64::from(n) * GB, LayerState::Unpacked)).collect();
        self.fleet.report_layers(host, &LayerReport { present, ..LayerReport::default() }).unwrap();
    }

    /// Machines on these hosts, all at once; none of the hosts has the image.
    fn burst(&mut self, name: &str, hosts: impl IntoIterator<Item = HostId>) {
        for host in hosts {
            let request = PlaceRequest {
                app: name.into(),
                image: name.into(),
                shape: Shape { cpu_milli: 1_000, ..Shape::default() },
                count: 1,
                ..PlaceRequest::default()
            };
            self.fleet.grant(Grant { request: &request, plan: &Plan { host, ..Plan::default() } });
        }
        self.happened();
    }

    fn advice(&mut self, limit: usize) -> Vec<FetchAdvice> {
        self.advisor.fetches(&self.fleet, limit, &BTreeSet::new())
    }
}

/// Twenty hosts, of which the first two got a burst of `a`.
fn begun() -> World {
    let mut world = World::new(20);
    world.at(1_000);
    world.record("a", &[1, 2]);
    world.record("b", &[1, 3]);
    world.burst("a", [1, 1, 1, 1, 2, 2, 2, 2]);
    world.has(1, &[1, 2]);
    world.has(2, &[1, 2]);
    world
}

#[test]
fn what_has_moved_is_fetched_by_hosts_that_have_most_of_it_and_room() {
    let mut world = begun();
    world.at(2_000);
    world.has(3, &[1]);
    world.record("a", &[1, 4]);
    let advice = world.advice(1);
    assert_eq!((advice[0].host, advice[0].reference.as_str(), advice[0].bytes), (3, "a", 4 * GB));
    assert_eq!((advice[0].why.burst, advice[0].why.room), (8, 0));
    assert!(advice[0].why.to_string().starts_with("8 machines are likely"), "{}", advice[0].why);
}

#[test]
fn nothing_is_fetched_before_anything_was_saved_and_never_more_than_that() {
    let mut world = World::new(20);
    world.at(1_000);
    world.record("a", &[1, 2]);
    assert_eq!(world.advice(9), []);
    world.burst("a", [1; 8]);
    // Eight machines would have fetched 3 GB each, and one did: half of the difference may be spent.
    assert_eq!(world.advisor.budget_bytes, (8 * 3 - 3) * GB / 2);
    world.record("a", &[5, 6]);
    assert!(world.advice(9).is_empty(), "11 GB are more than was saved");
    world.record("a", &[4]);
    assert_eq!(world.advice(9).len(), 2, "two copies of 4 GB are less than 10.5");
    assert_eq!(world.advisor.budget_bytes, 2 * GB + GB / 2);
}

#[test]
fn hosts_that_are_closed_busy_full_or_have_it_are_left_out() {
    let mut world = begun();
    world.at(2_000);
    world.fleet.set_scheduling(5, gantry_fleet::Scheduling::Cordoned).unwrap();
    world.burst("unknown", [6; 8]);
    // It has room for two of eight.
    world.burst("unknown", [7; 6]);
    world.has(7, &[1, 4]);
    world.record("a", &[1, 4]);
    let busy = BTreeSet::from([8]);
    let mut told = BTreeSet::new();
    for _ in 0..40 {
        world.advisor.budget_bytes = 100 * GB;
        for advice in world.advisor.fetches(&world.fleet, 64, &busy) {
            let is_a = advice.reference == "a";
            told.extend(is_a.then_some(advice.host));
            world.has(advice.host, if is_a { &[1, 4] } else { &[1, 3] });
        }
    }
    assert_eq!(told.len(), 1, "one has room for the other six: {told:?}");
    assert!([5, 6, 7, 8].iter().all(|left_out| !told.contains(left_out)), "{told:?}");
}

#[test]
fn where_there_is_room_on_hosts_that_have_it_no_more_is_fetched() {
    let mut world = begun();
    world.at(2_000);
    (3..=20).for_each(|host| world.has(host, &[1, 2, 3]));
    world.advisor.budget_bytes = 100 * GB;
    assert_eq!(world.advice(64), []);
}

#[test]
fn what_is_asked_for_often_comes_before_what_moves_often() {
    let mut world = begun();
    for n in 1..40_u64 {
        world.at(n * 60_000);
        world.burst("a", [9]);
        world.record("b", &[1, 3 + (n % 2) as u8 * 2]);
        let at = world.fleet.reservations_after(0).last().unwrap().id;
        world.fleet.end(at, gantry_fleet::EndReason::Released).unwrap();
        world.happened();
    }
    world.at(41 * 60_000);
    world.record("a", &[1, 6]);
    world.record("b", &[1, 7]);
    world.advisor.budget_bytes = 100 * GB;
    let advice = world.advice(1);
    assert_eq!(advice[0].reference, "a", "{advice:?}");
    assert!(advice[0].why.chance_percent > 80, "{advice:?}");
}

proptest! {
    /// Whatever happened: at most one piece of advice a host, within the limit and the budget, for what is missing there.
    #[test]
    fn advice_is_bounded_true_and_the_same_again(
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..60),
        limit in 0_usize..8,
    ) {
        let run = || {
            let mut world = World::new(12);
            let names = ["a", "b", "c"];
            let mut told = Vec::new();
            for (n, &(what, which, host)) in steps.iter().enumerate() {
                world.at(1_000 * (n as u64 + 1));
                let (name, host) = (names[usize::from(which % 3)], HostId::from(host % 12) + 1);
                match what % 3 {
                    0 => world.record(name, &[which % 7 + 1, 9]),
                    1 if world.fleet.host(host).unwrap().reservations().len() < 8 => world.burst(name, [host]),
                    _ => world.has(host, &[which % 7 + 1]),
                }
                let budget = world.advisor.budget_bytes;
                let advice = world.advice(limit);
                told.push((budget, world.advisor.budget_bytes, advice.clone(), advice.iter().map(|advice| {
                    let image = world.fleet.image(&advice.reference).unwrap();
                    let host = world.fleet.host(advice.host).unwrap();
                    image.size_bytes - crate::present_bytes(Some(image), host)
                }).collect::<Vec<u64>>()));
            }
            told
        };
        let told = run();
        for (budget, left, advice, missing) in &told {
            let hosts: BTreeSet<HostId> = advice.iter().map(|advice| advice.host).collect();
            prop_assert!(hosts.len() == advice.len() && advice.len() <= limit);
            let bytes: Vec<u64> = advice.iter().map(|advice| advice.bytes).collect();
            prop_assert!(bytes == *missing && bytes.iter().all(|&bytes| bytes > 0));
            prop_assert!(bytes.iter().sum::<u64>() == budget - left);
        }
        prop_assert!(told == run());
    }
}
