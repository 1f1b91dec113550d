//! A small history that leaves a row of every family, and an entry of every kind of the log. Part of the fixtures: it is changed
//! only together with a new folder of them.

use std::sync::Arc;

use bytes::Bytes;
use gantry_machine::{
    Command, CreateVolume, Entry, LayerPresent, ObservePull, RecordImage, RegisterHost, ReportLayers, Reserve,
    SetFeatureLevel, SetPolicy, SetRegionAlias, fingerprint,
};
use gantry_store::{Commands, LogEntry, LogPos, Member, Membership, Payload, Vote, Voters};
use gantry_types::{
    AppPolicy, Device, DeviceShare, GpuShape, HostSpec, Image, Label, Layer, PlaceRequest, Plan, Policy, Preset,
    PullObservation, RegionAlias, Shape, VolumeRequest,
};

pub const VOTE: Vote = Vote { term: 3, node: 2, committed: true };

pub fn members() -> Vec<Member> {
    let member = |id| Member { id, raft_addr: format!("n{id}:7401"), client_addr: format!("n{id}:7400") };
    [1, 2, 3].map(member).to_vec()
}

pub fn entries() -> Vec<LogEntry> {
    let voters = Voters { ids: vec![1, 2, 3] };
    let membership = Membership { pos: None, configs: vec![voters], members: members(), retired: vec![9] };
    let first = [Payload::Membership(Arc::new(membership)), Payload::Blank];
    let payloads = first.into_iter().chain(commands().into_iter().zip(1..).map(|(commands, number)| {
        let entry = Entry::new(1_700_000_000_000 + number, 0x0102_0304, number, commands);
        Payload::Commands(Commands::undecoded(Bytes::from(prost::Message::encode_to_vec(&entry))))
    }));
    payloads.zip(0..).map(|(payload, index)| LogEntry { pos: LogPos::new(3, 2, index), payload }).collect()
}

fn commands() -> Vec<Vec<Command>> {
    let alias = RegionAlias { name: "eu".into(), regions: vec!["fra".into(), "ams".into()] };
    let policy = Policy { preset: Preset::Pack as i32, ready_milli: Some(500), ..Policy::default() };
    let observed = PullObservation {
        fetched_bytes: 1 << 30,
        fetch_ms: 5_000,
        streams: 3,
        unpacked_bytes: 1 << 29,
        unpack_ms: 300,
    };
    let held = LayerPresent { digest: vec![1; 32], size_bytes: 1 << 20, state: 2, ..LayerPresent::default() };
    let volume = volume();
    let place = place();
    let plan = Plan { host: 1, devices: vec![DeviceShare { index: 3, milli: 250 }], ..Plan::default() };
    vec![
        vec![SetFeatureLevel { level: 2 }.into()],
        vec![RegisterHost { spec: spec() }.into(), RecordImage { image: image() }.into()],
        vec![
            ReportLayers { host: 1, full: true, present: vec![held], gone: Vec::new() }.into(),
            ObservePull { host: 1, observed }.into(),
        ],
        vec![SetRegionAlias { alias }.into(), SetPolicy { policy: AppPolicy { app: "app".into(), policy } }.into()],
        vec![
            CreateVolume { fingerprint: fingerprint(&volume), request: volume, host: 1, ..CreateVolume::default() }
                .into(),
            Reserve { fingerprint: fingerprint(&place), request: place, plans: vec![plan] }.into(),
        ],
    ]
}

fn spec() -> HostSpec {
    HostSpec {
        name: "host-1".into(),
        region: "fra".into(),
        zone: "fra-1".into(),
        labels: vec![Label { key: "rack".into(), value: "12".into() }],
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
        layers: vec![Layer { digest: vec![1; 32], size_bytes: 1 << 20, diff_id: vec![4; 32] }],
    }
}

fn volume() -> VolumeRequest {
    VolumeRequest {
        request_id: "v-1".into(),
        app: "app".into(),
        name: "data".into(),
        size_bytes: 10 << 30,
        ..VolumeRequest::default()
    }
}

fn place() -> PlaceRequest {
    let gpu = GpuShape { kinds: vec!["a100".into()], count: 1, milli: 250, ..GpuShape::default() };
    PlaceRequest {
        request_id: "p-1".into(),
        app: "app".into(),
        image: "registry.example/app:1".into(),
        shape: Shape { cpu_milli: 2_000, memory_bytes: 4 << 30, gpu: Some(gpu), ..Shape::default() },
        count: 1,
        lease_ms: 30_000,
        ..PlaceRequest::default()
    }
}
