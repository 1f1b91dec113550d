//! What each constraint refuses, and in which words.
#![allow(clippy::unwrap_used)]

use gantry_fleet::{EndReason, FEATURE_LEVEL_MAX, Fleet, Grant, NewVolume};
use gantry_placement::{Ask, InFlight, Planner, admits, refusals};
use gantry_types::{
    Affinity, Constraints, HostSpec, Image, Label, Layer, PlaceRequest, Plan, Refused, RegionAlias, RejectionGroup,
    Scope, Shape, VolumeRequest,
};

fn spec(name: &str, zone: &str) -> HostSpec {
    HostSpec {
        name: name.into(),
        region: "ams".into(),
        zone: zone.into(),
        cpu_shared_milli: 64_000,
        volume_bytes: 1 << 40,
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

fn request(app: &str, constraints: Constraints) -> PlaceRequest {
    PlaceRequest {
        request_id: "r".into(),
        app: app.into(),
        shape: Shape { cpu_milli: 1_000, ..Shape::default() },
        constraints,
        count: 1,
        ..PlaceRequest::default()
    }
}

fn planner(fleet: &Fleet) -> Planner {
    let mut planner = Planner::default();
    planner.catch_up(fleet);
    planner
}

/// Reserves a machine on a host.
fn grant(fleet: &mut Fleet, request: &PlaceRequest, host: u32) -> u64 {
    fleet.grant(Grant { request, plan: &Plan { host, ..Plan::default() } }).id
}

/// Which constraint refuses how many hosts, and with which words.
fn refused(fleet: &Fleet, request: &PlaceRequest) -> Vec<String> {
    match planner(fleet).plan(fleet, request) {
        Ok(planned) => panic!("placed on {:?}", planned.plans),
        Err(Refused::NoCapacity { groups, .. }) => groups.iter().map(RejectionGroup::to_string).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

fn host_of(planner: &mut Planner, fleet: &Fleet, request: &PlaceRequest) -> Option<u32> {
    planner.catch_up(fleet);
    planner.try_plan(fleet, request).map(|planned| planned.plans[0].host)
}

#[test]
fn what_is_nowhere_is_named() {
    let mut fleet = fleet([spec("h1", "a"), spec("h2", "b")]);
    let regions = |regions: &[&str]| {
        let regions = regions.iter().map(|region| (*region).to_owned()).collect();
        request("app", Constraints { regions, ..Constraints::default() })
    };
    let words = "2 hosts refuse by region (wants nowhere, where no host is, has hosts in ams)";
    assert_eq!(refused(&fleet, &regions(&["nowhere"])), [words]);
    assert!(planner(&fleet).plan(&fleet, &regions(&["nowhere", "any"])).is_ok());

    let volume = VolumeRequest { request_id: "v".into(), app: "app".into(), size_bytes: 1, ..VolumeRequest::default() };
    let id = fleet.create_volume(NewVolume { request: &volume, host: 2, hold: None }).id;
    fleet.delete_volume(id).unwrap();
    fleet.remove_host(2).unwrap();
    let pinned = request("app", Constraints { volume: id, ..Constraints::default() });
    assert_eq!(refused(&fleet, &pinned), ["1 host refuses by volume (wants volume 1, has no such volume)"]);
    let named = request("app", Constraints { host: "h2".into(), ..Constraints::default() });
    assert_eq!(refused(&fleet, &named), ["1 host refuses by host (wants h2, has h1)"]);
}

#[test]
fn an_alias_stands_for_its_regions_in_their_order() {
    let mut fleet = fleet([spec("h1", "a"), HostSpec { region: "fra".into(), ..spec("h2", "b") }]);
    let alias = |regions: &[&str]| {
        let regions = regions.iter().map(|region| (*region).to_owned()).collect();
        RegionAlias { name: "eu".into(), regions }
    };
    let wants = |regions: &[&str]| {
        let regions = regions.iter().map(|region| (*region).to_owned()).collect();
        request("app", Constraints { regions, ..Constraints::default() })
    };
    let eu = wants(&["eu"]);
    let mut planner = planner(&fleet);
    assert_eq!(host_of(&mut planner, &fleet, &eu), None, "nothing has the name yet");
    fleet.set_region_alias(alias(&["lhr", "fra"])).unwrap();
    assert_eq!(host_of(&mut planner, &fleet, &eu), Some(2), "what was known of such requests is out of date");
    fleet.set_region_alias(alias(&["ams"])).unwrap();
    assert_eq!(host_of(&mut planner, &fleet, &eu), Some(1));

    fleet.set_region_alias(alias(&["lhr", "fra"])).unwrap();
    let place = |regions: &[&str], region| fleet.region_place(&wants(regions).constraints, region);
    assert_eq!([place(&["iad", "eu", "any"], "fra"), place(&["iad", "eu", "any"], "ams")], [Some(2), Some(3)]);
    assert_eq!(
        [place(&["eu", "iad"], "iad"), place(&["eu", "iad"], "ams"), place(&[], "ams")],
        [Some(2), None, Some(0)]
    );
    fleet.set_region_alias(alias(&["lhr", "cdg"])).unwrap();
    let words = "2 hosts refuse by region (wants eu, where no host is, has hosts in ams, fra)";
    assert_eq!(refused(&fleet, &eu), [words]);
}

#[test]
fn the_regions_that_are_there_are_named_as_far_as_a_line_goes() {
    let in_region = |n: u32| HostSpec { region: format!("r{n}"), ..spec(&format!("h{n}"), "a") };
    let mut fleet = fleet((0..11).map(in_region));
    let nowhere = request("app", Constraints { regions: vec!["nowhere".into()], ..Constraints::default() });
    let words = "11 hosts refuse by region (wants nowhere, where no host is, has hosts in r0, r1, r10, r2, r3, r4, r5, r6 \
                 and 3 more regions)";
    assert_eq!(refused(&fleet, &nowhere), [words]);
    // A region is gone with its last host.
    (4..12).for_each(|host| fleet.remove_host(host).unwrap());
    fleet.register_host(HostSpec { region: "r9".into(), ..spec("h0", "b") }).unwrap();
    assert_eq!(fleet.regions().collect::<Vec<_>>(), ["r1", "r2", "r9"]);
}

#[test]
fn a_host_that_cannot_be_reached_gets_nothing_until_it_is_back() {
    let mut fleet = fleet([spec("h1", "a")]);
    let plain = request("app", Constraints::default());
    fleet.set_reachable(1, false).unwrap();
    let words = "1 host refuses by reachable (wants a host whose agent is heard of, has unreachable)";
    assert_eq!(refused(&fleet, &plain), [words]);
    fleet.register_host(spec("h1", "a")).unwrap();
    assert!(planner(&fleet).plan(&fleet, &plain).is_ok());
}

#[test]
fn an_image_fits_beside_those_in_use() {
    let layer = |n: u8, size_bytes| Layer { digest: vec![n; 32], size_bytes, diff_id: Vec::new() };
    let image =
        |name: &str, layers| Image { reference: name.into(), digest: vec![9; 32], platform: String::new(), layers };
    let mut fleet = fleet([HostSpec { cache_bytes: 100, ..spec("h1", "a") }]);
    fleet.record_image(image("used", vec![layer(1, 60), layer(2, 20)])).unwrap();
    fleet.record_image(image("other", vec![layer(3, 21)])).unwrap();
    fleet.record_image(image("alike", vec![layer(1, 60), layer(4, 20)])).unwrap();
    let with = |image: &str| PlaceRequest { image: image.into(), ..request("app", Constraints::default()) };
    let used = grant(&mut fleet, &with("used"), 1);

    assert_eq!(refused(&fleet, &with("other")), ["1 host refuses by image_cache (wants 21 B, has 20 B)"]);
    assert!(planner(&fleet).plan(&fleet, &with("alike")).is_ok(), "of what it shares with the other nothing is new");
    assert!(planner(&fleet).plan(&fleet, &PlaceRequest { image_blind: true, ..with("other") }).is_ok());
    let asked_of_apply = admits(&fleet, &Ask::machine(&fleet, &with("other")), 1);
    assert_eq!(asked_of_apply, Ok(()), "a hint decided in apply");

    // A machine in flight keeps its image there, too.
    let mut planner = planner(&fleet);
    let alike = planner.plan(&fleet, &with("alike")).unwrap();
    fleet.end(used, EndReason::Released).unwrap();
    assert_eq!(host_of(&mut planner, &fleet, &with("other")), None);
    planner.settle(&with("alike"), &alike.plans);
    assert_eq!(host_of(&mut planner, &fleet, &with("other")), Some(1));
}

#[test]
fn a_dedicated_host_takes_its_own_and_who_asks_for_it() {
    let dedicated = Label { key: "dedicated".into(), value: "batch".into() };
    let fleet = fleet([HostSpec { labels: vec![dedicated.clone()], ..spec("h1", "a") }]);
    let in_group = Constraints { group: "batch".into(), ..Constraints::default() };
    let asking = Constraints { require_labels: vec![dedicated], ..Constraints::default() };
    for request in [request("batch", Constraints::default()), request("web", in_group), request("web", asking)] {
        assert!(planner(&fleet).plan(&fleet, &request).is_ok(), "{request:?}");
    }
    let words = ["1 host refuses by dedicated (wants web, has batch)"];
    assert_eq!(refused(&fleet, &request("web", Constraints::default())), words);
}

#[test]
fn an_app_has_no_more_machines_in_a_zone_than_it_wants() {
    let mut fleet = fleet([spec("h1", "a"), spec("h2", "a"), spec("h3", "b")]);
    let five = PlaceRequest { count: 5, ..request("app", Constraints { max_per_zone: 2, ..Constraints::default() }) };
    let mut planner = planner(&fleet);
    let planned = planner.plan(&fleet, &five).unwrap();
    let in_a = planned.plans.iter().filter(|plan| plan.host < 3).count();
    assert_eq!((planned.plans.len(), in_a, planned.missing), (4, 2, 1));
    let words: Vec<String> = planned.rejections.iter().map(RejectionGroup::to_string).collect();
    assert_eq!(words, ["3 hosts refuse by max_per_zone (wants at most 2 of the app, has 2 machines)"]);
    planner.settle(&five, &planned.plans);

    let one_each = Constraints { max_per_host: 1, ..Constraints::default() };
    let five = PlaceRequest { count: 5, ..request("app", one_each) };
    assert_eq!(planner.plan(&fleet, &five).unwrap().plans.len(), 3);

    // What is in flight for a host goes along to the zone that the host declares now.
    let one = request("other", Constraints { max_per_zone: 1, host: String::new(), ..Constraints::default() });
    let first = host_of(&mut planner, &fleet, &one).unwrap();
    let second = host_of(&mut planner, &fleet, &one).unwrap();
    assert_eq!(host_of(&mut planner, &fleet, &one), None);
    let name = fleet.host(first).unwrap().name.to_string();
    fleet.register_host(spec(&name, "c")).unwrap();
    // A zone is free again where a host of it is left; the new one is not.
    let third = host_of(&mut planner, &fleet, &one);
    assert!(third.is_some_and(|host| host != first && host != second) || first == 3, "{first} {second} {third:?}");
    assert_eq!(host_of(&mut planner, &fleet, &one), None);
}

#[test]
fn near_and_apart_count_in_their_scope() {
    let mut fleet = fleet([spec("h1", "a"), spec("h2", "a"), spec("h3", "b")]);
    let member = request("db", Constraints { group: "data".into(), ..Constraints::default() });
    grant(&mut fleet, &member, 1);
    let named =
        |app: &str, group: &str, scope: Scope| Affinity { app: app.into(), group: group.into(), scope: scope as i32 };
    let near = |affinity| request("web", Constraints { affinity: vec![affinity], ..Constraints::default() });
    let apart = |affinity| request("web", Constraints { anti_affinity: vec![affinity], ..Constraints::default() });
    let hosts = |request: &PlaceRequest| -> Vec<u32> {
        let ask = Ask::machine(&fleet, request);
        fleet.host_ids().filter(|&host| admits(&fleet, &ask, host).is_ok()).collect()
    };
    assert_eq!(hosts(&near(named("db", "", Scope::Host))), [1]);
    assert_eq!(hosts(&near(named("", "data", Scope::Zone))), [1, 2]);
    assert_eq!(hosts(&apart(named("", "data", Scope::Host))), [2, 3]);
    assert_eq!(hosts(&apart(named("db", "", Scope::Zone))), [3]);
    let words = ["3 hosts refuse by zone_affinity (wants a machine of group none in the zone, has 0 machines)"];
    assert_eq!(refused(&fleet, &near(named("", "none", Scope::Zone))), words);
}

#[test]
fn volumes_of_an_app_are_parted_whatever_their_names() {
    let fleet = fleet([spec("h1", "a"), spec("h2", "a")]);
    let volume = |id: &str, unique_zone_app_wide| VolumeRequest {
        request_id: id.into(),
        app: "app".into(),
        name: id.into(),
        size_bytes: 1,
        constraints: Constraints { unique_zone: true, unique_zone_app_wide, ..Constraints::default() },
        ..VolumeRequest::default()
    };
    let mut planner = planner(&fleet);
    let (first, second) =
        (planner.plan_volume(&fleet, &volume("1", true)), planner.plan_volume(&fleet, &volume("2", true)));
    assert!(first.is_some() && second.is_some() && first != second, "{first:?} {second:?}");
    assert_eq!(planner.plan_volume(&fleet, &volume("3", true)), None);
    assert!(planner.plan_volume(&fleet, &volume("3", false)).is_some(), "no other has its name");
    assert!(refusals(&fleet, &InFlight::default(), &Ask::volume(&fleet, &volume("1", true))).is_empty());
}
