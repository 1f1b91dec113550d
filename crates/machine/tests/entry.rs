//! The encoding of log entries. It lies on disks: what was written once must be read for ever.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use gantry_fleet::{FEATURE_LEVEL_MAX, Fleet};
use gantry_machine::{
    Command, Confirm, CreateVolume, DeleteVolume, ENTRY_VERSION, EndByHost, Entry, EntryError, Expire, Kind,
    LayerPresent, ObservePull, RecordImage, RegisterHost, Release, RemoveHost, Renew, ReportLayers, Reserve,
    SetFeatureLevel, SetPolicy, SetReachable, SetRegionAlias, SetScheduling, UpdateHost,
};
use gantry_types::{
    Affinity, AppPolicy, Constraints, Device, DeviceShare, GpuShape, HostSpec, Image, Inherited, Label, Layer,
    PlaceRequest, Plan, Policy, Preset, PullObservation, Refused, RegionAlias, Shape, VolumeRequest,
};
use prost::Message;

/// A line a command: its name, and an entry that holds it in hexadecimal digits. A line is never changed; a new command
/// gets a new one.
const FIXTURE: &str = include_str!("fixtures/entry_v1.hex");
/// The same of what feature level 2 brought: commands, and fields of those that were there before.
const FIXTURE_2: &str = include_str!("fixtures/entry_v2.hex");

#[test]
fn every_command_is_encoded_as_it_always_was() {
    for (version, fixture, kinds) in [(1, FIXTURE, first_kinds()), (2, FIXTURE_2, newer_kinds())] {
        let mut lines = fixture.lines();
        for kind in kinds {
            let name = name(&kind);
            let entry = entry(vec![Command { kind: Some(kind) }]);
            assert_eq!(entry.version, version, "{name} has another version than before");
            let line = format!("{name} {}", hex(&entry.encode_to_vec()));
            assert_eq!(lines.next(), Some(line.as_str()), "{name} is encoded otherwise than before");
            let bytes = bytes(line.split(' ').next_back().unwrap());
            assert_eq!(Entry::read(&bytes), Ok(entry), "{name} is not read back");
        }
        assert_eq!(lines.next(), None, "a command is gone");
    }
}

#[test]
fn every_command_has_a_line() {
    let mut named = BTreeSet::new();
    for fixture in [FIXTURE, FIXTURE_2] {
        let of_one: BTreeSet<&str> = fixture.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(of_one.len(), fixture.lines().count(), "a name stands twice");
        named.extend(of_one);
    }
    assert_eq!(named, every_kind().iter().map(name).collect());
}

#[test]
fn what_is_not_known_is_refused() {
    let expire = || Command::from(Expire {});
    let read = |entry: &Entry| Entry::read(&entry.encode_to_vec());
    for version in [0, ENTRY_VERSION + 1, u32::MAX] {
        let unknown = Entry { version, ..entry(vec![expire()]) };
        assert_eq!(read(&unknown), Err(EntryError::Version(version)));
    }
    assert_eq!(read(&entry(Vec::new())), Ok(entry(Vec::new())));

    // A command with a tag that nobody has given yet, second of three.
    let mut newer = entry(vec![expire()]).encode_to_vec();
    newer.extend([5 << 3 | 2, 3, 0xfa, 0x01, 0]);
    newer.extend([5 << 3 | 2, 2, 6 << 3 | 2, 0]);
    assert_eq!(Entry::read(&newer), Err(EntryError::UnknownCommand { position: 1 }));
    newer.drain(newer.len() - 9..newer.len() - 4);
    assert_eq!(Entry::read(&newer), Ok(entry(vec![expire(), expire()])));
}

#[test]
fn a_feature_level_that_is_not_known_stops_a_replica_and_is_no_outcome() {
    let level = FEATURE_LEVEL_MAX + 1;
    let newer = entry(vec![Expire {}.into(), SetFeatureLevel { level }.into()]);
    let expected = Err(EntryError::FeatureLevel { position: 1, level });
    assert_eq!(newer.check(), expected);
    assert_eq!(Entry::read(&newer.encode_to_vec()).map(drop), expected);
    let apply = std::panic::catch_unwind(|| gantry_machine::apply(&mut Fleet::default(), 1, &newer));
    assert!(apply.is_err(), "an entry that nobody checked was applied: {apply:?}");

    assert!(matches!(SetFeatureLevel::known(level), Err(Refused::Invalid { field: "level", .. })));
    assert_eq!(SetFeatureLevel::known(FEATURE_LEVEL_MAX), Ok(()));
}

#[test]
fn damaged_entries_are_refused_or_differ() {
    let whole = entry(every_kind().into_iter().map(|kind| Command { kind: Some(kind) }).collect());
    let encoded = whole.encode_to_vec();
    assert_eq!(Entry::read(&encoded), Ok(whole.clone()));
    for length in 0..encoded.len() {
        assert_ne!(Entry::read(&encoded[..length]).as_ref(), Ok(&whole), "cut to {length} bytes");
    }
    for garbage in [&[0xff; 16][..], b"not an entry", &[0x0a], &[0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        assert!(matches!(Entry::read(garbage), Err(EntryError::Malformed(_))), "{garbage:?}");
    }
}

fn entry(commands: Vec<Command>) -> Entry {
    Entry::new(1_700_000_000_000, 0x0102_0304_0506_0708, 42, commands)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Has an arm for every command, so that a new one is not forgotten here.
fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Reserve(_) => "reserve",
        Kind::Release(_) => "release",
        Kind::Renew(_) => "renew",
        Kind::Confirm(_) => "confirm",
        Kind::EndByHost(_) => "end_by_host",
        Kind::Expire(_) => "expire",
        Kind::CreateVolume(_) => "create_volume",
        Kind::DeleteVolume(_) => "delete_volume",
        Kind::RegisterHost(_) => "register_host",
        Kind::UpdateHost(_) => "update_host",
        Kind::RemoveHost(_) => "remove_host",
        Kind::SetScheduling(_) => "set_scheduling",
        Kind::ReportLayers(_) => "report_layers",
        Kind::RecordImage(_) => "record_image",
        Kind::SetFeatureLevel(_) => "set_feature_level",
        Kind::SetReachable(_) => "set_reachable",
        Kind::ObservePull(_) => "observe_pull",
        Kind::SetRegionAlias(_) => "set_region_alias",
        Kind::SetPolicy(_) => "set_policy",
    }
}

fn every_kind() -> Vec<Kind> {
    first_kinds().into_iter().chain(newer_kinds()).collect()
}

/// What needs feature level 2, with every field set to something that can be told from its default.
fn newer_kinds() -> Vec<Kind> {
    let affinity = |app: &str, group: &str, scope| Affinity { app: app.into(), group: group.into(), scope };
    let constraints = |volume| Constraints {
        volume,
        unique_zone_app_wide: true,
        max_per_host: 2,
        max_per_zone: 300,
        group: "group".into(),
        affinity: vec![affinity("db", "", 0)],
        anti_affinity: vec![affinity("", "noisy", 1)],
        ..constraints()
    };
    let gpu = GpuShape { kinds: vec!["a100".into()], count: 2, milli: 1_000, same_nvlink_group: true };
    let shape = Shape { gpu: Some(gpu), ..shape() };
    let place = PlaceRequest { constraints: constraints(11), shape: shape.clone(), ..place_request() };
    let by_name = Constraints { volume_name: "data".into(), ..constraints(0) };
    let place = PlaceRequest { constraints: by_name, ..place };
    let volume = VolumeRequest {
        constraints: constraints(0),
        compute: Some(shape.clone()),
        hold_ms: 90_000,
        no_hold: true,
        fork_of: 12,
        ..volume_request()
    };
    let inherited = Inherited {
        size_bytes: 20 << 30,
        compute: Some(shape),
        compute_image: "registry.example/app:1".into(),
        region: "fra".into(),
    };
    let hold = Some(Plan { host: 9, ..plan() });
    let observed = PullObservation {
        fetched_bytes: 1 << 30,
        fetch_ms: 5_000,
        streams: 3,
        unpacked_bytes: 1 << 29,
        unpack_ms: 300,
    };
    let pulling = LayerPresent {
        digest: vec![1; 32],
        size_bytes: 1 << 30,
        state: 0,
        fetched_bytes: Some(1 << 20),
        diff_id: vec![5; 32],
    };
    let slice = Device { index: 100, kind: "a100.1g.10gb".into(), parent: Some(1), ..Device::default() };
    let alias = RegionAlias { name: "eu".into(), regions: vec!["fra".into(), "ams".into()] };
    let policy = Policy {
        preset: Preset::Pack as i32,
        ready_milli: Some(500),
        stranded_milli: Some(1_000),
        share_milli: Some(0),
        spread_milli: Some(2_000),
    };
    let linked = Device { nvlink_group: 2, ..spec().devices[0].clone() };
    vec![
        Kind::SetReachable(SetReachable { host: 7, reachable: true }),
        Kind::Reserve(Reserve { request: place, fingerprint: 0xfeed, plans: vec![Plan { volume: 13, ..plan() }] }),
        Kind::CreateVolume(CreateVolume { request: volume, fingerprint: 7, host: 9, inherited: Some(inherited), hold }),
        Kind::RegisterHost(RegisterHost { spec: HostSpec { devices: vec![linked, slice], ..spec() } }),
        Kind::ObservePull(ObservePull { host: 7, observed }),
        Kind::ReportLayers(ReportLayers { host: 7, full: false, present: vec![pulling], gone: Vec::new() }),
        Kind::SetRegionAlias(SetRegionAlias { alias }),
        Kind::SetPolicy(SetPolicy { policy: AppPolicy { app: "app".into(), policy } }),
    ]
}

/// One of each of the first kinds, with every field that it had then set to something that can be told from its default.
fn first_kinds() -> Vec<Kind> {
    vec![
        Kind::Reserve(Reserve { request: place_request(), fingerprint: 0xfeed, plans: vec![plan(), plan()] }),
        Kind::Release(Release { request_id: "r-2".into(), fingerprint: 2, reservations: vec![1, 300] }),
        Kind::Renew(Renew { request_id: "r-3".into(), fingerprint: 3, reservation: 300, lease_ms: 5_000 }),
        Kind::Confirm(Confirm { host: 7, reservation: 300, fence: 301 }),
        Kind::EndByHost(EndByHost { host: 7, reservation: 300, fence: 301, refusal: Some("no driver".into()) }),
        Kind::Expire(Expire {}),
        Kind::CreateVolume(CreateVolume {
            request: volume_request(),
            fingerprint: 7,
            host: 9,
            ..CreateVolume::default()
        }),
        Kind::DeleteVolume(DeleteVolume { request_id: "r-8".into(), fingerprint: 8, volume: 11 }),
        Kind::RegisterHost(RegisterHost { spec: spec() }),
        Kind::UpdateHost(UpdateHost {
            name: "host-1".into(),
            set_labels: vec![label()],
            remove_labels: vec!["old".into()],
            cpu_overcommit_percent: Some(0),
        }),
        Kind::RemoveHost(RemoveHost { name: "host-1".into() }),
        Kind::SetScheduling(SetScheduling { name: "host-1".into(), scheduling: 2 }),
        Kind::ReportLayers(ReportLayers {
            host: 7,
            full: true,
            present: vec![LayerPresent {
                digest: vec![1; 32],
                size_bytes: 1 << 30,
                state: 2,
                ..LayerPresent::default()
            }],
            gone: vec![vec![2; 32]],
        }),
        Kind::RecordImage(RecordImage { image: image() }),
        Kind::SetFeatureLevel(SetFeatureLevel { level: 1 }),
    ]
}

fn label() -> Label {
    Label { key: "rack".into(), value: "12".into() }
}

fn shape() -> Shape {
    let gpu = GpuShape { kinds: vec!["a100".into(), "h100".into()], count: 1, milli: 250, ..GpuShape::default() };
    Shape { cpu_kind: 1, cpu_milli: 2_000, memory_bytes: 4 << 30, gpu: Some(gpu) }
}

fn constraints() -> Constraints {
    Constraints {
        regions: vec!["fra".into(), "ams".into()],
        require_labels: vec![label()],
        avoid_labels: vec![Label { key: "spot".into(), value: String::new() }],
        host: "host-1".into(),
        volume: 11,
        unique_zone: true,
        ..Constraints::default()
    }
}

fn place_request() -> PlaceRequest {
    PlaceRequest {
        request_id: "r-1".into(),
        app: "app".into(),
        image: "registry.example/app:1".into(),
        shape: shape(),
        constraints: constraints(),
        count: 2,
        all_or_nothing: true,
        lease_ms: 30_000,
        image_blind: true,
    }
}

fn plan() -> Plan {
    let devices = vec![DeviceShare { index: 0, milli: 250 }, DeviceShare { index: 3, milli: 250 }];
    Plan { host: 7, devices, ..Plan::default() }
}

fn volume_request() -> VolumeRequest {
    VolumeRequest {
        request_id: "r-7".into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes: 10 << 30,
        constraints: Constraints { volume: 0, ..constraints() },
        compute: Some(shape()),
        compute_image: "registry.example/app:1".into(),
        ..VolumeRequest::default()
    }
}

fn spec() -> HostSpec {
    HostSpec {
        name: "host-1".into(),
        region: "fra".into(),
        zone: "fra-1".into(),
        labels: vec![label()],
        cpu_shared_milli: 96_000,
        cpu_overcommit_percent: 150,
        cpu_performance_milli: 32_000,
        memory_bytes: 512 << 30,
        volume_bytes: 2 << 40,
        cache_bytes: 1 << 40,
        devices: vec![Device { index: 3, kind: "a100".into(), memory_bytes: 80 << 30, ..Device::default() }],
    }
}

fn image() -> Image {
    Image {
        reference: "registry.example/app:1".into(),
        digest: vec![9; 32],
        platform: "linux/amd64".into(),
        layers: vec![Layer { digest: vec![1; 32], size_bytes: 1 << 30, diff_id: vec![4; 32] }],
    }
}
