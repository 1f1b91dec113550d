//! Random fleets, requests, and what may happen to both.

use gantry_fleet::Scheduling;
use gantry_types::{
    Affinity, AppPolicy, Constraints, Device, Digest, GpuShape, HostSpec, Image, Label, Layer, LayerState,
    PlaceRequest, Policy, RegionAlias, Shape, VolumeRequest,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed},
};

/// The same scripts at every run.
pub fn config(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(0x706c_616e), failure_persistence: None, ..Config::default() }
}

#[derive(Clone, Debug)]
pub enum Step {
    /// A host comes, or comes anew with another declaration.
    Register(HostSpec),
    Remove(usize),
    Schedule(usize, Scheduling),
    Reach(usize, bool),
    Layers {
        host: usize,
        full: bool,
        present: Vec<(u8, LayerState)>,
        gone: Vec<u8>,
    },
    Record(Image),
    /// A pull of so many MB that took a second.
    Observe(usize, u64),
    Alias(RegionAlias),
    Policy(AppPolicy),
    /// Plans one of the script's requests.
    Plan {
        request: usize,
        count: u32,
        all_or_nothing: bool,
    },
    PlanVolume(Box<VolumeRequest>),
    /// The oldest plans are applied; that they are is noticed later.
    Apply,
    /// The oldest plans were applied or will never be: they are settled.
    Settle,
    Release(usize),
    DeleteVolume(usize),
    /// So much time passes that all holds end.
    ExpireHolds,
    /// Leadership was lost and found again.
    Reset,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub requests: Vec<PlaceRequest>,
    pub steps: Vec<Step>,
}

pub fn script(steps: std::ops::Range<usize>) -> impl Strategy<Value = Script> {
    script_of(steps, 3, 0.15)
}

/// Many volumes, and machines that use them.
pub fn volume_script(steps: std::ops::Range<usize>) -> impl Strategy<Value = Script> {
    script_of(steps, 20, 0.6)
}

fn script_of(steps: std::ops::Range<usize>, volumes: u32, by_name: f64) -> impl Strategy<Value = Script> {
    let beginning = (vec(spec(), 0..8), vec(image(), 0..3)).prop_map(|(specs, images)| {
        let hosts = (0..).zip(specs).map(|(n, spec)| Step::Register(HostSpec { name: format!("host-{n}"), ..spec }));
        hosts.chain(images.into_iter().map(Step::Record)).collect::<Vec<_>>()
    });
    (vec(request(by_name), 1..6), beginning, vec(step(volumes), steps)).prop_map(|(requests, mut steps, rest)| {
        steps.extend(rest);
        Script { requests, steps }
    })
}

/// Of so much weight to volumes.
fn step(volumes: u32) -> impl Strategy<Value = Step> {
    let pick = || 0..64usize;
    let present = vec((0..8u8, state()), 0..6);
    let scheduling = prop_oneof![
        3 => Just(Scheduling::Open),
        1 => Just(Scheduling::Cordoned),
        1 => Just(Scheduling::Draining)
    ];
    let (fork_of, no_hold) = (option::weighted(0.2, 1..64u64), proptest::bool::weighted(0.2));
    let volume = (app(), (0..2u8, any::<bool>()), 1..6u64, constraints(), option::of(shape()), fork_of, no_hold)
        .prop_map(|(app, (name, unique_zone), size_bytes, constraints, compute, fork_of, no_hold)| VolumeRequest {
            app,
            name: format!("volume-{name}"),
            size_bytes,
            constraints: Constraints { volume: 0, unique_zone, ..constraints },
            compute,
            compute_image: "image-0".into(),
            fork_of: fork_of.unwrap_or_default(),
            no_hold,
            ..VolumeRequest::default()
        });
    prop_oneof![
        3 => ((0..12u8).prop_map(|n| format!("host-{n}")), spec())
            .prop_map(|(name, spec)| Step::Register(HostSpec { name, ..spec })),
        1 => pick().prop_map(Step::Remove),
        2 => (pick(), scheduling).prop_map(|(host, scheduling)| Step::Schedule(host, scheduling)),
        2 => (pick(), proptest::bool::weighted(0.7)).prop_map(|(host, reachable)| Step::Reach(host, reachable)),
        4 => (pick(), any::<bool>(), present, vec(0..8u8, 0..3))
            .prop_map(|(host, full, present, gone)| Step::Layers { host, full, present, gone }),
        3 => image().prop_map(Step::Record),
        1 => (pick(), 2..2_000u64).prop_map(|(host, mb)| Step::Observe(host, mb)),
        2 => alias().prop_map(Step::Alias),
        2 => policy().prop_map(Step::Policy),
        20 => (pick(), machines(), proptest::bool::weighted(0.2))
            .prop_map(|(request, count, all_or_nothing)| Step::Plan { request, count, all_or_nothing }),
        volumes => volume.prop_map(|request| Step::PlanVolume(Box::new(request))),
        8 => Just(Step::Apply),
        8 => Just(Step::Settle),
        6 => pick().prop_map(Step::Release),
        1 => pick().prop_map(Step::DeleteVolume),
        1 => Just(Step::ExpireHolds),
        1 => Just(Step::Reset),
    ]
}

/// Mostly few, for which a host is searched for; sometimes so many that they get a ranking at once.
fn machines() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 1..4u32, 1 => 8..11u32]
}

pub fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

/// Different for each layer, so that overlaps of different layers differ.
pub fn layer_bytes(n: u8) -> u64 {
    1 << (n + 20)
}

fn state() -> impl Strategy<Value = LayerState> {
    select(vec![LayerState::Pulling, LayerState::Blob, LayerState::Unpacked])
}

fn app() -> impl Strategy<Value = String> {
    (0..3u8).prop_map(|n| format!("app-{n}"))
}

fn policy() -> impl Strategy<Value = AppPolicy> {
    let weight = || option::weighted(0.3, select(vec![0, 10, 1_000, 5_000]));
    (app(), 0..3i32, weight(), weight(), weight(), weight()).prop_map(
        |(app, preset, ready_milli, stranded_milli, share_milli, spread_milli)| {
            let policy = Policy { preset, ready_milli, stranded_milli, share_milli, spread_milli };
            AppPolicy { app, policy }
        },
    )
}

fn label() -> impl Strategy<Value = Label> {
    prop_oneof![
        6 => (0..2u8, 0..2u8).prop_map(|(key, value)| Label { key: format!("k{key}"), value: format!("v{value}") }),
        1 => select(vec!["app-0", "group-0"]).prop_map(|owner| Label { key: "dedicated".into(), value: owner.into() }),
    ]
}

pub fn spec() -> impl Strategy<Value = HostSpec> {
    let indices = proptest::sample::subsequence(vec![0u32, 1, 2, 3, 5, 8], 0..=6);
    let kinds = vec(select(vec![("a", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("a.1g", 0)]), 6);
    let devices = (indices, kinds).prop_map(|(indices, kinds)| {
        let device = |(index, (kind, nvlink_group)): (u32, (&str, u32))| Device {
            index,
            kind: kind.into(),
            memory_bytes: 80,
            parent: (kind == "a.1g").then_some(9),
            nvlink_group,
        };
        indices.into_iter().zip(kinds).map(device).collect::<Vec<_>>()
    });
    // Less than some images have, as much as some have together, enough, or not declared.
    let cache = select(vec![0u64, 0, 30, 100, 180, 255]).prop_map(|mib| mib << 20);
    (devices, (0..2u8, 0..2u8), option::of(label()), 1..10u64, 0..4u64, 2..30u64, 0..20u64, cache).prop_map(
        |(devices, (region, zone), label, shared, performance, memory_mib, volume_bytes, cache_bytes)| HostSpec {
            region: format!("region-{region}"),
            zone: format!("zone-{zone}"),
            labels: label.into_iter().collect(),
            cpu_shared_milli: shared * 1_000,
            cpu_overcommit_percent: if shared % 2 == 0 { 150 } else { 0 },
            cpu_performance_milli: performance * 1_000,
            memory_bytes: memory_mib << 20,
            volume_bytes,
            cache_bytes,
            devices,
            ..HostSpec::default()
        },
    )
}

pub fn shape() -> impl Strategy<Value = Shape> {
    let kinds = select(vec![
        vec![],
        vec![],
        vec!["a".to_owned()],
        vec!["a.1g".to_owned()],
        vec!["b".to_owned(), "c".to_owned()],
    ]);
    let amounts = select(vec![(1, 1_000), (1, 1_000), (1, 100), (1, 250), (1, 600), (2, 1_000), (3, 1_000)]);
    let gpu = (kinds, amounts, proptest::bool::weighted(0.2))
        .prop_map(|(kinds, (count, milli), same_nvlink_group)| GpuShape { kinds, count, milli, same_nvlink_group });
    (0..2i32, 1..4u64, 0..5u64, option::weighted(0.7, gpu)).prop_map(|(cpu_kind, cpu, memory_mib, gpu)| Shape {
        cpu_kind,
        cpu_milli: cpu * 500,
        memory_bytes: memory_mib << 20,
        gpu,
    })
}

/// Of apps and groups that the scripts have, so that most mean something.
fn affinity() -> impl Strategy<Value = Affinity> {
    let party = select(vec![("app-0", ""), ("app-1", ""), ("app-2", ""), ("", "group-0"), ("", "group-1")]);
    (party, 0..2i32).prop_map(|((app, group), scope)| Affinity { app: app.into(), group: group.into(), scope })
}

/// What counts machines of apps and groups, on hosts and in zones.
fn counted() -> impl Strategy<Value = Constraints> {
    let most = || prop_oneof![3 => Just(0u32), 1 => 1..4u32];
    let group = select(vec!["", "group-0", "group-1"]);
    (most(), most(), group, vec(affinity(), 0..2), vec(affinity(), 0..3), any::<bool>()).prop_map(
        |(max_per_host, max_per_zone, group, affinity, anti_affinity, unique_zone_app_wide)| Constraints {
            max_per_host,
            max_per_zone,
            group: group.into(),
            affinity,
            anti_affinity,
            unique_zone_app_wide,
            ..Constraints::default()
        },
    )
}

fn alias() -> impl Strategy<Value = RegionAlias> {
    let regions = select(vec![vec![], vec!["region-0"], vec!["region-1"], vec!["region-2", "region-1"]]);
    regions.prop_map(|regions| RegionAlias {
        name: "some".into(),
        regions: regions.into_iter().map(str::to_owned).collect(),
    })
}

fn constraints() -> impl Strategy<Value = Constraints> {
    let region = select(vec!["region-0", "region-1", "region-2", "any", "some", "some"]).prop_map(str::to_owned);
    let host = option::weighted(0.2, (0..8u8).prop_map(|n| format!("host-{n}")));
    let volume = option::weighted(0.2, 1..4u64);
    let some = (vec(region, 0..3), vec(label(), 0..2), vec(label(), 0..2), host, volume, any::<bool>()).prop_map(
        |(regions, require_labels, avoid_labels, host, volume, unique_zone)| Constraints {
            regions,
            require_labels,
            avoid_labels,
            host: host.unwrap_or_default(),
            volume: volume.unwrap_or_default(),
            unique_zone,
            ..Constraints::default()
        },
    );
    prop_oneof![4 => Just(Constraints::default()), 2 => some, 3 => counted()]
}

fn request(by_name: f64) -> impl Strategy<Value = PlaceRequest> {
    let image = option::of((0..3u8).prop_map(|n| format!("image-{n}")));
    let volume_name = option::weighted(by_name, (0..2u8).prop_map(|n| format!("volume-{n}")));
    let constraints = (constraints(), volume_name).prop_map(|(constraints, volume_name)| match volume_name {
        Some(volume_name) => Constraints { volume: 0, volume_name, ..constraints },
        None => constraints,
    });
    (app(), image, shape(), constraints, proptest::bool::weighted(0.1)).prop_map(
        |(app, image, shape, constraints, image_blind)| PlaceRequest {
            request_id: "request".into(),
            app,
            image: image.unwrap_or_default(),
            shape,
            constraints,
            count: 1,
            image_blind,
            ..PlaceRequest::default()
        },
    )
}

pub fn image() -> impl Strategy<Value = Image> {
    (0..3u8, vec(0..8u8, 1..6), any::<bool>()).prop_map(|(n, layers, twins)| {
        let mut image = image_of(n, &layers);
        // Two layers each are of one content.
        let diff_id = |n: u8| digest(200 + n / 2).0.to_vec();
        image.layers.iter_mut().filter(|_| twins).for_each(|layer| layer.diff_id = diff_id(layer.digest[0]));
        image
    })
}

pub fn image_of(n: u8, layers: &[u8]) -> Image {
    let layer = |&n: &u8| Layer { digest: digest(n).0.to_vec(), size_bytes: layer_bytes(n), diff_id: Vec::new() };
    Image {
        reference: format!("image-{n}"),
        digest: digest(100 + n).0.to_vec(),
        platform: "linux/amd64".into(),
        layers: layers.iter().map(layer).collect(),
    }
}
