//! What hosts, their agents and registries say.

use gantry_machine::{
    Command, LayerPresent, ObservePull, RecordImage, RegisterHost, ReportLayers, SetScheduling, UpdateHost,
};
use gantry_types::{Device, Digest, HostSpec, Image, Layer, PullObservation, Refused, limits};

use crate::{busy, label, long, names_field, world::spec};

#[test]
fn declarations_of_hosts() {
    let register = |change: fn(&mut HostSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Command::from(RegisterHost { spec })
    };
    let update = |set_labels, percent| {
        let remove_labels = Vec::new();
        Command::from(UpdateHost { name: "h".into(), set_labels, remove_labels, cpu_overcommit_percent: percent })
    };
    let device = |index| Device { index, kind: "a".into(), memory_bytes: 1, ..Device::default() };
    names_field(vec![
        ("host.name is empty", register(|s| s.name.clear())),
        ("host.region is empty", register(|s| s.region.clear())),
        ("host.zone is 129", register(|s| s.zone = long())),
        ("host.labels repeat", register(|s| s.labels = vec![label("k"), label("k")])),
        ("host.labels is 65", register(|s| s.labels = vec![label("k"); limits::LABELS + 1])),
        ("host.cpu_shared_milli", register(|s| s.cpu_shared_milli = limits::CPU_MILLI + 1)),
        ("host.cpu_performance_milli", register(|s| s.cpu_performance_milli = u64::MAX)),
        ("host.cpu_overcommit_percent", register(|s| s.cpu_overcommit_percent = 10_001)),
        ("host.memory_bytes", register(|s| s.memory_bytes = limits::SIZE_BYTES + 1)),
        ("host.volume_bytes", register(|s| s.volume_bytes = u64::MAX)),
        ("host.cache_bytes", register(|s| s.cache_bytes = u64::MAX)),
        ("host.devices repeat", register(|s| s.devices.push(s.devices[0].clone()))),
        ("host.devices.kind", register(|s| s.devices[0].kind.clear())),
        ("host.devices.memory_bytes", register(|s| s.devices[0].memory_bytes = u64::MAX)),
        (
            "host.devices is 65",
            RegisterHost { spec: HostSpec { devices: (0..65).map(device).collect(), ..spec() } }.into(),
        ),
        ("host.labels repeat", update(vec![label("k"), label("k")], None)),
        ("host.cpu_overcommit_percent", update(Vec::new(), Some(10_001))),
        ("host.devices.parent is 1", register(|s| s.devices[0].parent = Some(1))),
        (
            "host.devices.kind is",
            register(|s| s.devices.push(Device { index: 7, parent: Some(3), ..s.devices[0].clone() })),
        ),
        (
            "host.devices.nvlink_group",
            register(|s| {
                let slice = Device { index: 7, kind: "a.1g".into(), memory_bytes: 1, parent: Some(3), nvlink_group: 1 };
                s.devices.push(slice);
            }),
        ),
        ("scheduling is 3", SetScheduling { name: "h".into(), scheduling: 3 }.into()),
    ]);
}

#[test]
fn layers_and_images() {
    let image = Image {
        reference: "image".into(),
        digest: vec![1; 32],
        platform: "linux/amd64".into(),
        layers: vec![Layer { digest: vec![1; 32], size_bytes: 1, diff_id: Vec::new() }],
    };
    let record = |change: fn(&mut Image)| {
        let mut image = image.clone();
        change(&mut image);
        Command::from(RecordImage { image })
    };
    let present = |digest: &[u8], size_bytes, state| {
        let present = vec![LayerPresent { digest: digest.to_vec(), size_bytes, state, ..LayerPresent::default() }];
        Command::from(ReportLayers { host: 1, full: false, present, gone: Vec::new() })
    };
    let there = || LayerPresent { digest: vec![1; 32], size_bytes: 10, ..LayerPresent::default() };
    let hinted = |layer| Command::from(ReportLayers { host: 1, full: false, present: vec![layer], gone: Vec::new() });
    let gone = |gone| Command::from(ReportLayers { host: 1, full: false, present: Vec::new(), gone });
    names_field(vec![
        ("image.reference is empty", record(|i| i.reference.clear())),
        ("image.reference contains", record(|i| i.reference = "a b".into())),
        ("image.platform", record(|i| i.platform = long())),
        ("image.digest is 31", record(|i| i.digest.truncate(31))),
        ("image.layers is empty", record(|i| i.layers.clear())),
        ("image.layers is 1025", record(|i| i.layers = vec![i.layers[0].clone(); limits::LAYERS_PER_IMAGE + 1])),
        ("image.layers is 10000", record(|i| i.layers = vec![i.layers[0].clone(); 10_000])),
        ("image.layers.size_bytes", record(|i| i.layers[0].size_bytes = u64::MAX)),
        ("image.layers.digest is 33", record(|i| i.layers[0].digest.push(0))),
        ("image.layers.diff_id is 1", record(|i| i.layers[0].diff_id.push(0))),
        ("image.layers.size_bytes", record(|i| i.layers[0].size_bytes = limits::LAYER_BYTES + 1)),
        ("layers.present.digest is 0", present(&[], 1, 0)),
        ("layers.present.size_bytes", present(&[1; 32], limits::LAYER_BYTES + 1, 0)),
        ("layers.present.state is 3", present(&[1; 32], 1, 3)),
        ("layers.present.diff_id is 1", hinted(LayerPresent { diff_id: vec![1], ..there() })),
        ("layers.present.fetched_bytes is 11", hinted(LayerPresent { fetched_bytes: Some(11), ..there() })),
        ("layers.present.fetched_bytes is given", hinted(LayerPresent { fetched_bytes: Some(1), state: 1, ..there() })),
        ("layers.gone is 5", gone(vec![vec![0; 5]])),
        (
            "layers.gone is given",
            ReportLayers { host: 1, full: true, present: Vec::new(), gone: vec![vec![0; 32]] }.into(),
        ),
        ("layers is 16385", gone(vec![vec![0; 32]; limits::LAYERS_PER_REPORT + 1])),
    ]);
    // A manifest may name a layer twice, which weighs once; the largest image is far from overflow.
    let mut world = busy();
    let same = Layer { size_bytes: limits::LAYER_BYTES, ..image.layers[0].clone() };
    let large = Image { layers: vec![same; limits::LAYERS_PER_IMAGE], ..image.clone() };
    world.apply(RecordImage { image: large }).unwrap();
    assert_eq!(world.fleet.image("image").unwrap().size_bytes, limits::LAYER_BYTES);
    for text in ["", "sha256:", "sha512:00", "sha256:XYZ", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let refused = Digest::parse("image.digest", text).unwrap_err();
        assert!(refused.to_string().starts_with("image.digest is"), "{refused}");
    }
}

#[test]
fn measured_pulls() {
    let observed = |change: fn(&mut PullObservation)| {
        let mut observed = PullObservation {
            fetched_bytes: 1 << 30,
            fetch_ms: 5_000,
            streams: 3,
            unpacked_bytes: 1 << 30,
            unpack_ms: 9_000,
        };
        change(&mut observed);
        Command::from(ObservePull { host: 1, observed })
    };
    names_field(vec![
        ("pulled.fetched_bytes is", observed(|o| o.fetched_bytes = limits::SIZE_BYTES + 1)),
        ("pulled.fetch_ms is", observed(|o| o.fetch_ms = limits::PULL_MS + 1)),
        ("pulled.streams is", observed(|o| o.streams = limits::STREAMS + 1)),
        ("pulled.unpacked_bytes is", observed(|o| o.unpacked_bytes = u64::MAX)),
        ("pulled.unpack_ms is", observed(|o| o.unpack_ms = u64::MAX)),
        // A TiB and more in a second.
        (
            "pulled.fetched_bytes is 2199023255552 in 1000 ms",
            observed(|o| (o.fetched_bytes, o.fetch_ms) = (1 << 41, 1_000)),
        ),
        ("pulled.unpacked_bytes is", observed(|o| (o.unpacked_bytes, o.unpack_ms) = (1 << 41, 1_000))),
    ]);
}

#[test]
fn hosts_that_offer_less_than_they_promised() {
    let mut world = busy();
    let mut resource = |change: fn(&mut HostSpec)| {
        let mut spec = spec();
        change(&mut spec);
        match world.refused(RegisterHost { spec }) {
            Refused::LessThanPromised { resource, want, have, .. } if want > have => resource,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(resource(|s| s.cpu_shared_milli = 999), "cpu_shared_milli");
    assert_eq!(resource(|s| (s.cpu_shared_milli, s.cpu_overcommit_percent) = (1_000, 99)), "cpu_shared_milli");
    assert_eq!(resource(|s| s.memory_bytes = (1 << 30) - 1), "memory_bytes");
    assert_eq!(resource(|s| s.volume_bytes = 0), "volume_bytes");
    assert_eq!(resource(|s| drop(s.devices.remove(0))), "device_milli");
    assert_eq!(resource(|s| s.devices[0].kind = "b".into()), "device_milli");
    // The other device is nobody's.
    let devices = spec().devices[..1].to_vec();
    world.apply(RegisterHost { spec: HostSpec { devices, ..spec() } }).unwrap();
}
