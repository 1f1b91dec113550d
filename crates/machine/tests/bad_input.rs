//! Bad input: each is refused by name, says which field, and changes nothing.
#![allow(clippy::unwrap_used)]

#[path = "bad_input/reports.rs"]
mod reports;
#[path = "support/world.rs"]
mod world;

use gantry_fleet::FEATURE_LEVEL_MAX;
use gantry_machine::{
    Command, Confirm, CreateVolume, DeleteVolume, EndByHost, LayerPresent, ObservePull, RegisterHost, Release,
    RemoveHost, Renew, ReportLayers, Reserve, SetFeatureLevel, SetPolicy, SetReachable, SetRegionAlias, SetScheduling,
    fingerprint,
};
use gantry_types::{
    Affinity, AppPolicy, Constraints, Device, DeviceShare, GpuShape, HostSpec, Label, PlaceRequest, Plan, Policy,
    Preset, PullObservation, Refused, RegionAlias, Scope, Shape, VolumeRequest, limits,
};
use world::{World, spec};

/// A host with a reservation and a volume in use.
fn busy() -> World {
    let mut world = World::new();
    world.apply(SetFeatureLevel { level: FEATURE_LEVEL_MAX }).unwrap();
    world.apply(create_volume(volume_request("volume"))).unwrap();
    let constraints = Constraints { volume: 1, ..Constraints::default() };
    world.apply(reserve(PlaceRequest { constraints, ..request("place") })).unwrap();
    world.apply(RegisterHost { spec: HostSpec { name: "empty".into(), ..spec() } }).unwrap();
    world
}

fn request(request_id: &str) -> PlaceRequest {
    PlaceRequest {
        request_id: request_id.into(),
        app: "app".into(),
        shape: shape(GpuShape { kinds: Vec::new(), count: 1, milli: 500, ..GpuShape::default() }),
        count: 1,
        ..PlaceRequest::default()
    }
}

fn shape(gpu: GpuShape) -> Shape {
    Shape { cpu_milli: 1_000, memory_bytes: 1 << 30, gpu: Some(gpu), ..Shape::default() }
}

fn reserve(request: PlaceRequest) -> Command {
    let milli = request.shape.gpu.as_ref().map_or(0, |gpu| gpu.milli);
    let plan = Plan { host: 1, devices: vec![DeviceShare { index: 0, milli }], ..Plan::default() };
    Reserve { fingerprint: fingerprint(&request), plans: vec![plan], request }.into()
}

fn volume_request(request_id: &str) -> VolumeRequest {
    VolumeRequest {
        request_id: request_id.into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes: 1 << 30,
        ..VolumeRequest::default()
    }
}

fn create_volume(request: VolumeRequest) -> Command {
    CreateVolume { fingerprint: fingerprint(&request), request, host: 1, ..CreateVolume::default() }.into()
}

fn any_shape() -> Shape {
    Shape { cpu_milli: 1, ..Shape::default() }
}

fn with_compute() -> VolumeRequest {
    VolumeRequest { compute: Some(any_shape()), ..volume_request("bad") }
}

/// A volume on host 1 with a hold on another, or for a machine that nothing is held for.
fn held(request: VolumeRequest, host: u32) -> Command {
    let hold = Some(Plan { host, ..Plan::default() });
    CreateVolume { fingerprint: fingerprint(&request), request, host: 1, hold, ..CreateVolume::default() }.into()
}

fn long() -> String {
    "x".repeat(limits::NAME_BYTES + 1)
}

fn label(key: &str) -> Label {
    Label { key: key.into(), value: "v".into() }
}

fn near(app: &str, group: &str, scope: Scope) -> Affinity {
    Affinity { app: app.into(), group: group.into(), scope: scope as i32 }
}

fn names_field(cases: Vec<(&'static str, Command)>) {
    let mut world = busy();
    for (field, command) in cases {
        let shown = format!("{command:?}");
        let refused = world.refused(command);
        assert_eq!(refused.reason(), "INVALID_ARGUMENT", "{shown}: {refused}");
        assert!(refused.to_string().starts_with(field), "{refused:?} does not name {field}: {shown}");
    }
}

#[test]
fn requests_for_machines() {
    let with = |change: fn(&mut PlaceRequest)| {
        let mut request = request("bad");
        change(&mut request);
        reserve(request)
    };
    let constrained = |constraints| reserve(PlaceRequest { constraints, ..request("bad") });
    let gpu = |count, milli| {
        reserve(PlaceRequest {
            shape: shape(GpuShape { kinds: Vec::new(), count, milli, ..GpuShape::default() }),
            ..request("bad")
        })
    };
    names_field(vec![
        ("request_id is empty", with(|r| r.request_id.clear())),
        ("request_id is 129", with(|r| r.request_id = long())),
        ("request_id contains", with(|r| r.request_id = "a\nb".into())),
        ("app is empty", with(|r| r.app.clear())),
        ("image contains", with(|r| r.image = "an image".into())),
        ("image is 513", with(|r| r.image = "x".repeat(limits::REFERENCE_BYTES + 1))),
        ("shape.cpu_kind", with(|r| r.shape.cpu_kind = 9)),
        // What a negative number looks like once it is unsigned.
        ("shape.cpu_milli", with(|r| r.shape.cpu_milli = -1i64 as u64)),
        ("shape.memory_bytes", with(|r| r.shape.memory_bytes = limits::SIZE_BYTES + 1)),
        ("shape asks for nothing", with(|r| r.shape = Shape::default())),
        ("shape.gpu.count", gpu(0, 1_000)),
        ("shape.gpu.count", gpu(limits::DEVICES_PER_HOST as u32 + 1, 1_000)),
        ("shape.gpu.milli", gpu(1, 0)),
        ("shape.gpu.milli", gpu(1, 1_001)),
        ("shape.gpu asks", gpu(2, 500)),
        ("shape.gpu.kinds is empty", with(|r| r.shape.gpu.as_mut().unwrap().kinds.push(String::new()))),
        ("count is 0", with(|r| r.count = 0)),
        ("count is 1001", with(|r| r.count = limits::MACHINES_PER_REQUEST + 1)),
        ("count is above 1", with(|r| (r.count, r.constraints.volume) = (2, 1))),
        ("lease_ms", with(|r| r.lease_ms = limits::LEASE_MS + 1)),
        ("plans", with(|r| (r.count, r.all_or_nothing) = (2, true))),
        (
            "constraints.regions is 33",
            constrained(Constraints {
                regions: vec!["r".into(); limits::REGIONS_PER_REQUEST + 1],
                ..Constraints::default()
            }),
        ),
        ("constraints.regions is empty", with(|r| r.constraints.regions.push(String::new()))),
        ("constraints.require_labels", with(|r| r.constraints.require_labels.push(label("")))),
        ("constraints.avoid_labels", with(|r| r.constraints.avoid_labels = vec![label("k"); limits::LABELS + 1])),
        ("constraints.host", with(|r| r.constraints.host = long())),
        ("constraints.unique_zone", with(|r| r.constraints.unique_zone = true)),
        ("constraints.unique_zone_app_wide", with(|r| r.constraints.unique_zone_app_wide = true)),
        (
            "constraints.volume_name stands beside",
            with(|r| (r.constraints.volume, r.constraints.volume_name) = (1, "d".into())),
        ),
        ("constraints.volume_name contains", with(|r| r.constraints.volume_name = "a\nb".into())),
        ("constraints.volume_name is 129", with(|r| r.constraints.volume_name = long())),
        ("plans name a volume", with(|r| r.constraints.volume_name = "data".into())),
        ("count is 1000000000", with(|r| r.count = 1_000_000_000)),
        ("constraints.regions contains", with(|r| r.constraints.regions = vec!["any".into(), "a\u{0}b".into()])),
    ]);
}

#[test]
fn affinities_that_nothing_can_meet() {
    let constrained = |constraints| reserve(PlaceRequest { constraints, ..request("bad") });
    let wants = |affinity: Vec<Affinity>, anti_affinity: Vec<Affinity>| {
        constrained(Constraints { group: "own".into(), affinity, anti_affinity, ..Constraints::default() })
    };
    let (host, zone) = (Scope::Host, Scope::Zone);
    names_field(vec![
        ("constraints.group contains", constrained(Constraints { group: "a\nb".into(), ..Constraints::default() })),
        ("constraints.affinity is 17", wants(vec![near("db", "", host); limits::AFFINITIES + 1], Vec::new())),
        ("constraints.anti_affinity is 17", wants(Vec::new(), vec![near("db", "", host); limits::AFFINITIES + 1])),
        ("constraints.affinity names neither", wants(vec![near("", "", host)], Vec::new())),
        ("constraints.anti_affinity names an app and a group", wants(Vec::new(), vec![near("a", "b", host)])),
        ("constraints.affinity has scope 2", wants(vec![Affinity { scope: 2, ..near("db", "", host) }], Vec::new())),
        ("constraints.affinity is 129", wants(vec![near(&long(), "", host)], Vec::new())),
        ("constraints.affinity names the machine's own app", wants(vec![near("app", "", zone)], Vec::new())),
        ("constraints.affinity names the machine's own group", wants(vec![near("", "own", host)], Vec::new())),
        ("constraints.anti_affinity contradicts", wants(vec![near("db", "", host)], vec![near("db", "", host)])),
        ("constraints.anti_affinity contradicts", wants(vec![near("db", "", host)], vec![near("db", "", zone)])),
        ("constraints.anti_affinity contradicts", wants(vec![near("", "g", zone)], vec![near("", "g", zone)])),
    ]);
    // In the same zone and on another host is no contradiction, nor is to be apart from one's own.
    let affinity = vec![near("db", "", zone)];
    let anti_affinity = vec![near("db", "", host), near("app", "", host), near("", "db", zone)];
    let constraints = Constraints { affinity, anti_affinity, ..Constraints::default() };
    assert_eq!(PlaceRequest { constraints, ..request("good") }.validate(), Ok(()));
}

/// A member that does not know the level would pass over what is new in these.
#[test]
fn what_needs_a_higher_feature_level() {
    let constrained = |constraints| reserve(PlaceRequest { constraints, ..request("new") });
    let linked = GpuShape { kinds: Vec::new(), count: 1, milli: 500, same_nvlink_group: true };
    let device = |device: Device| {
        Command::from(RegisterHost { spec: HostSpec { name: "new".into(), devices: vec![device], ..spec() } })
    };
    let layer = |layer| {
        let layer = LayerPresent { digest: vec![1; 32], size_bytes: 10, ..layer };
        Command::from(ReportLayers { host: 1, full: false, present: vec![layer], gone: Vec::new() })
    };
    let by_name = Constraints { volume_name: "data".into(), ..Constraints::default() };
    let app_wide = Constraints { unique_zone_app_wide: true, ..Constraints::default() };
    let commands = [
        SetReachable { host: 1, reachable: false }.into(),
        constrained(Constraints { regions: vec!["any".into()], ..Constraints::default() }),
        constrained(Constraints { max_per_host: 1, ..Constraints::default() }),
        constrained(Constraints { max_per_zone: 1, ..Constraints::default() }),
        constrained(Constraints { group: "g".into(), ..Constraints::default() }),
        constrained(Constraints { affinity: vec![near("db", "", Scope::Host)], ..Constraints::default() }),
        constrained(Constraints { anti_affinity: vec![near("db", "", Scope::Host)], ..Constraints::default() }),
        reserve(PlaceRequest { shape: shape(linked.clone()), ..request("new") }),
        create_volume(VolumeRequest { constraints: app_wide, ..volume_request("new") }),
        create_volume(VolumeRequest { compute: Some(shape(linked)), ..volume_request("new") }),
        constrained(by_name),
        create_volume(VolumeRequest { hold_ms: 1, ..with_compute() }),
        create_volume(VolumeRequest { no_hold: true, ..volume_request("new") }),
        create_volume(VolumeRequest { fork_of: 1, ..volume_request("new") }),
        held(with_compute(), 1),
        device(Device { index: 5, kind: "a.1g".into(), parent: Some(0), ..Device::default() }),
        device(Device { index: 5, kind: "a".into(), nvlink_group: 1, ..Device::default() }),
        ObservePull { host: 1, observed: PullObservation::default() }.into(),
        layer(LayerPresent { diff_id: vec![1; 32], ..LayerPresent::default() }),
        layer(LayerPresent { fetched_bytes: Some(0), ..LayerPresent::default() }),
        alias("eu", &["ams"]),
        policy("app", Policy { preset: Preset::Pack as i32, ..Policy::DEFAULT }),
    ];
    let mut world = World::new();
    for command in commands {
        assert_eq!(world.refused(command), Refused::FeatureLevel { want: 2, have: 1 });
    }
}

fn policy(app: &str, policy: Policy) -> Command {
    SetPolicy { policy: AppPolicy { app: app.into(), policy } }.into()
}

#[test]
fn policies_of_apps() {
    let over = Some(limits::WEIGHT_MILLI + 1);
    let with = |change: fn(&mut Policy, Option<u32>)| {
        let mut changed = Policy::DEFAULT;
        change(&mut changed, over);
        policy("app", changed)
    };
    names_field(vec![
        ("app is empty", policy("", Policy::DEFAULT)),
        ("app is 129", policy(&long(), Policy::DEFAULT)),
        ("policy.preset is 3", with(|policy, _| policy.preset = 3)),
        ("policy.ready_milli is 100001", with(|policy, over| policy.ready_milli = over)),
        ("policy.stranded_milli is 100001", with(|policy, over| policy.stranded_milli = over)),
        ("policy.share_milli is 100001", with(|policy, over| policy.share_milli = over)),
        ("policy.spread_milli is 100001", with(|policy, over| policy.spread_milli = over)),
    ]);
}

fn alias(name: &str, regions: &[&str]) -> Command {
    let regions = regions.iter().map(|region| (*region).to_owned()).collect();
    SetRegionAlias { alias: RegionAlias { name: name.into(), regions } }.into()
}

#[test]
fn aliases_of_regions() {
    let many: Vec<String> = (0..=limits::REGIONS_PER_ALIAS).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut world = busy();
    world.apply(alias("eu", &["ams", "fra"])).unwrap();
    for (expected, command) in [
        ("name is empty", alias("", &["ams"])),
        ("name is 129", alias(&long(), &["ams"])),
        ("name is \"any\"", alias("any", &["ams"])),
        ("name is \"a,b\"", alias("a,b", &["ams"])),
        ("name is \" a\"", alias(" a", &["ams"])),
        ("name is \"region\", a region that hosts are in", alias("region", &["ams"])),
        ("name is \"ams\", a region that alias \"eu\"", alias("ams", &["lhr"])),
        ("regions is empty", alias("us", &[""])),
        ("regions name \"any\"", alias("us", &["any"])),
        ("regions name the alias itself", alias("us", &["us"])),
        ("regions name \"eu\", which is an alias", alias("world", &["iad", "eu"])),
        ("regions name \"iad\" twice", alias("us", &["iad", "ord", "iad"])),
        ("regions is 33", alias("us", &many)),
    ] {
        let refused = world.refused(command).to_string();
        assert!(refused.starts_with(expected), "{refused} instead of {expected}");
    }
    world.apply(alias("eu", &[])).unwrap();
    world.apply(alias("world", &["iad", "eu"])).unwrap();
}

#[test]
fn requests_for_volumes_and_about_reservations() {
    let volume = |change: fn(&mut VolumeRequest)| {
        let mut request = volume_request("bad");
        change(&mut request);
        create_volume(request)
    };
    let release = |request_id: &str, reservations| {
        Command::from(Release { request_id: request_id.into(), fingerprint: 0, reservations })
    };
    let renew = |request_id: &str, lease_ms| {
        Command::from(Renew { request_id: request_id.into(), fingerprint: 0, reservation: 1, lease_ms })
    };
    names_field(vec![
        ("request_id is empty", volume(|r| r.request_id.clear())),
        ("name is empty", volume(|r| r.name.clear())),
        ("size_bytes is 0", volume(|r| r.size_bytes = 0)),
        ("size_bytes", volume(|r| r.size_bytes = limits::SIZE_BYTES + 1)),
        ("constraints.volume", volume(|r| r.constraints.volume = 1)),
        ("shape.cpu_kind", volume(|r| r.compute = Some(Shape { cpu_kind: 5, ..Shape::default() }))),
        ("compute_image", volume(|r| r.compute_image = "a\tb".into())),
        ("constraints.volume_name makes", volume(|r| r.constraints.volume_name = "data".into())),
        ("hold_ms is 86400001", volume(|r| (r.compute, r.hold_ms) = (Some(any_shape()), limits::LEASE_MS + 1))),
        ("hold_ms is given without compute", volume(|r| r.hold_ms = 1)),
        ("no_hold contradicts", volume(|r| (r.compute, r.hold_ms, r.no_hold) = (Some(any_shape()), 1, true))),
        ("fork_of is volume 9, which does not exist", volume(|r| r.fork_of = 9)),
        ("fork_of is volume 1 of app", volume(|r| (r.fork_of, r.app) = (1, "other".into()))),
        ("size_bytes is 1: volume 1 has", volume(|r| (r.fork_of, r.size_bytes) = (1, 1))),
        ("size_bytes", volume(|r| (r.fork_of, r.size_bytes) = (1, u64::MAX))),
        ("inherited is for forks", volume(|r| r.fork_of = 1)),
        ("hold is not of this volume", held(volume_request("bad"), 1)),
        ("hold is not of this volume", held(with_compute(), 2)),
        ("hold is not of this volume", held(VolumeRequest { no_hold: true, ..with_compute() }, 1)),
        ("request_id is empty", release("", vec![1])),
        ("reservations are 0", release("bad", Vec::new())),
        ("reservations are 1001", release("bad", vec![1; limits::MACHINES_PER_REQUEST as usize + 1])),
        ("request_id is empty", renew("", 0)),
        ("lease_ms", renew("bad", u64::MAX)),
        ("request_id is empty", DeleteVolume { request_id: String::new(), fingerprint: 0, volume: 1 }.into()),
    ]);
}

#[test]
fn what_does_not_stand() {
    let mut world = busy();
    let mut reason = |command: Command| world.refused(command).reason();
    let release = |reservations| Command::from(Release { request_id: "bad".into(), fingerprint: 0, reservations });
    let unknown = "nobody".to_owned();
    // One that stands beside one that does not: nothing is released.
    assert_eq!(reason(release(vec![1, 2])), "UNKNOWN_RESERVATION");
    assert_eq!(
        reason(Renew { request_id: "bad".into(), fingerprint: 0, reservation: 2, lease_ms: 0 }.into()),
        "UNKNOWN_RESERVATION"
    );
    assert_eq!(reason(Confirm { host: 1, reservation: 2, fence: 2 }.into()), "UNKNOWN_RESERVATION");
    assert_eq!(reason(Confirm { host: 2, reservation: 1, fence: 1 }.into()), "WRONG_HOST");
    assert_eq!(reason(Confirm { host: 1, reservation: 1, fence: 0 }.into()), "FENCED");
    assert_eq!(reason(EndByHost { host: 1, reservation: 1, fence: 9, refusal: None }.into()), "FENCED");
    let delete = |volume| Command::from(DeleteVolume { request_id: "bad".into(), fingerprint: 0, volume });
    assert_eq!(reason(delete(2)), "UNKNOWN_VOLUME");
    assert_eq!(reason(delete(1)), "VOLUME_IN_USE");
    let report = ReportLayers { host: 9, full: true, present: Vec::new(), gone: Vec::new() };
    assert_eq!(reason(report.into()), "UNKNOWN_HOST");
    assert_eq!(reason(RemoveHost { name: unknown.clone() }.into()), "UNKNOWN_HOST");
    assert_eq!(reason(SetScheduling { name: unknown, scheduling: 1 }.into()), "UNKNOWN_HOST");
    assert_eq!(reason(RemoveHost { name: "h".into() }.into()), "HOST_IN_USE");
    assert_eq!(reason(SetFeatureLevel { level: 0 }.into()), "FEATURE_LEVEL");
    let on_used_volume = Constraints { volume: 1, ..Constraints::default() };
    assert_eq!(reason(reserve(PlaceRequest { constraints: on_used_volume, ..request("bad") })), "CONTENDED");
}

#[test]
fn request_ids_used_before_with_other_content() {
    let mut world = busy();
    let lease = PlaceRequest { lease_ms: 1, ..request("place") };
    let commands = [
        reserve(lease),
        create_volume(volume_request("place")),
        Release { request_id: "place".into(), fingerprint: 5, reservations: vec![1] }.into(),
        Renew { request_id: "place".into(), fingerprint: 6, reservation: 1, lease_ms: 0 }.into(),
        DeleteVolume { request_id: "place".into(), fingerprint: 7, volume: 1 }.into(),
        reserve(request("volume")),
    ];
    for command in commands {
        let refused = world.refused(command);
        assert!(matches!(&refused, Refused::RequestReused { request_id } if !request_id.is_empty()), "{refused:?}");
    }
}
