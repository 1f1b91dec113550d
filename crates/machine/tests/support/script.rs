//! Random scripts: sequences of log entries, written down without ids. Which host, reservation or volume a command names
//! is chosen among those that stand when it runs, so that shrinking a script leaves a sensible one.

#[path = "script_constraints.rs"]
mod script_constraints;
#[path = "script_layers.rs"]
mod script_layers;
#[path = "script_volumes.rs"]
mod script_volumes;

use gantry_fleet::FEATURE_LEVEL_MAX;
use gantry_machine::{
    Command, Confirm, DeleteVolume, EndByHost, Expire, Kind, ObservePull, RecordImage, RegisterHost, Release,
    RemoveHost, Renew, ReportLayers, Reserve, SetFeatureLevel, SetPolicy, SetReachable, SetRegionAlias, SetScheduling,
    UpdateHost, fingerprint,
};
use gantry_types::{
    Device, DeviceShare, GpuShape, HostSpec, Label, PlaceRequest, Plan, PullObservation, Shape, Volume, VolumeRequest,
    limits,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::oracle::Oracle;
use script_constraints::{alias, constraints, label, policy};
use script_layers::{image, observation, report};
use script_volumes::{HeldDevices, create_volume, held, volume_request};

/// One log entry.
#[derive(Clone, Debug)]
pub struct EntryStep {
    /// Milliseconds that the proposer's clock moves, backwards too.
    pub clock: i64,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Reserve {
        request: PlaceRequest,
        on_volume: Option<usize>,
        /// The volume is one of its name.
        by_name: bool,
        plans: Vec<PlanChoice>,
    },
    CreateVolume {
        request: VolumeRequest,
        host: usize,
        fork_of: Option<usize>,
        hold: Option<HeldDevices>,
    },
    Release {
        request: u8,
        picks: Vec<usize>,
    },
    Renew {
        request: u8,
        pick: usize,
        lease_ms: u64,
    },
    DeleteVolume {
        request: u8,
        pick: usize,
    },
    Confirm {
        pick: usize,
        wrong_host: bool,
        stale: bool,
    },
    End {
        pick: usize,
        wrong_host: bool,
        stale: bool,
        refused: bool,
    },
    Report {
        host: usize,
        report: ReportLayers,
    },
    Reachable {
        host: usize,
        reachable: bool,
    },
    Observe {
        host: usize,
        observed: PullObservation,
    },
    Plain(Kind),
    /// The command that ran so many commands ago, once more.
    Again(usize),
}

/// Where a plan goes.
#[derive(Clone, Debug)]
pub enum PlanChoice {
    /// A host, and devices of it that have room.
    Fitting(usize),
    /// A host, and devices of the right kind, whatever they have left.
    Crowded(usize),
    /// A host, and devices that may be anything.
    Odd(usize, Vec<(u32, u32)>),
}

/// Turns a step into a command, given what stands.
pub fn command(step: &Step, oracle: &Oracle, history: &[Kind]) -> Kind {
    match step.clone() {
        Step::Plain(kind) => kind,
        Step::Again(back) if !history.is_empty() => history[history.len() - 1 - back % history.len()].clone(),
        Step::Again(_) => Kind::Expire(Expire {}),
        Step::Reserve { mut request, on_volume, by_name, plans } => {
            request.constraints.volume = on_volume.map_or(0, |pick| volume(oracle, pick));
            if let Some(volume) = oracle.volumes.iter().find(|volume| volume.id == request.constraints.volume) {
                request.app.clone_from(&volume.app);
                if by_name {
                    request.constraints.volume = 0;
                    request.constraints.volume_name.clone_from(&volume.name);
                }
            }
            let plans = plan(oracle, &request, &plans);
            Kind::Reserve(Reserve { fingerprint: fingerprint(&request), request, plans })
        }
        Step::CreateVolume { request, host, fork_of, hold } => create_volume(oracle, request, host, fork_of, hold),
        Step::Release { request, picks } => {
            let reservations = picks.into_iter().map(|pick| reservation(oracle, pick)).collect();
            let mut release = Release { request_id: request_id(request), fingerprint: 0, reservations };
            release.fingerprint = fingerprint(&release);
            Kind::Release(release)
        }
        Step::Renew { request, pick, lease_ms } => {
            let reservation = reservation(oracle, pick);
            let mut renew = Renew { request_id: request_id(request), fingerprint: 0, reservation, lease_ms };
            renew.fingerprint = fingerprint(&renew);
            Kind::Renew(renew)
        }
        Step::DeleteVolume { request, pick } => {
            let volume = volume(oracle, pick);
            let mut delete = DeleteVolume { request_id: request_id(request), fingerprint: 0, volume };
            delete.fingerprint = fingerprint(&delete);
            Kind::DeleteVolume(delete)
        }
        Step::Confirm { pick, wrong_host, stale } => {
            let (host, reservation, fence) = named_by_agent(oracle, pick, wrong_host, stale);
            Kind::Confirm(Confirm { host, reservation, fence })
        }
        Step::End { pick, wrong_host, stale, refused } => {
            let (host, reservation, fence) = named_by_agent(oracle, pick, wrong_host, stale);
            let refusal = refused.then(|| "the driver is gone".to_owned());
            Kind::EndByHost(EndByHost { host, reservation, fence, refusal })
        }
        Step::Reachable { host, reachable } => {
            Kind::SetReachable(SetReachable { host: host_id(oracle, host), reachable })
        }
        Step::Report { host, report } => Kind::ReportLayers(ReportLayers { host: host_id(oracle, host), ..report }),
        Step::Observe { host, observed } => Kind::ObservePull(ObservePull { host: host_id(oracle, host), observed }),
    }
}

fn host_id(oracle: &Oracle, pick: usize) -> u32 {
    // One above the hosts that stand names none.
    oracle.hosts.get(pick % (oracle.hosts.len() + 1)).map_or(1_000, |host| host.id)
}

fn reservation(oracle: &Oracle, pick: usize) -> u64 {
    oracle.reservations.get(pick % (oracle.reservations.len() + 1)).map_or(1_000_000, |row| row.id)
}

fn volume(oracle: &Oracle, pick: usize) -> u64 {
    oracle.volumes.get(pick % (oracle.volumes.len() + 1)).map_or(1_000_000, |volume| volume.id)
}

fn named_by_agent(oracle: &Oracle, pick: usize, wrong_host: bool, stale: bool) -> (u32, u64, u64) {
    let id = reservation(oracle, pick);
    let row = oracle.reservations.iter().find(|row| row.id == id);
    let (host, fence) = row.map_or((1, 1), |row| (row.plan.host, row.fence));
    (host + u32::from(wrong_host), id, fence - u64::from(stale))
}

/// Plans that know of those before them in the same request.
fn plan(oracle: &Oracle, request: &PlaceRequest, choices: &[PlanChoice]) -> Vec<Plan> {
    let mut oracle = oracle.clone();
    let gpu = request.shape.gpu.as_ref();
    let (count, milli) = gpu.map_or((0, 0), |gpu| (gpu.count as usize, gpu.milli));
    let shares = |indices: Vec<u32>| {
        indices.into_iter().take(count).map(|index| DeviceShare { index, milli }).collect::<Vec<_>>()
    };
    let mut plans = Vec::new();
    for choice in choices {
        let (PlanChoice::Fitting(pick) | PlanChoice::Crowded(pick) | PlanChoice::Odd(pick, _)) = choice;
        let named = |v: &&Volume| v.name == request.constraints.volume_name && v.app == request.app;
        let unused = || oracle.volumes.iter().find(|v| named(v) && v.used_by == 0);
        let by_number = oracle.volumes.iter().find(|volume| volume.id == request.constraints.volume);
        let by_name = if request.constraints.volume_name.is_empty() { None } else { unused() };
        let attached = by_number.or(by_name);
        let host = match (choice, attached) {
            (PlanChoice::Fitting(_), Some(volume)) => volume.host,
            _ => host_id(&oracle, *pick),
        };
        let devices = match (choice, oracle.host(host)) {
            (_, None) => Vec::new(),
            (PlanChoice::Fitting(_), Some(host)) => {
                shares(oracle.linked(host, &request.shape, attached.map_or(0, |volume| volume.id)))
            }
            (PlanChoice::Crowded(_), Some(host)) => {
                let of_kind = host.spec.devices.iter().filter(|d| gpu.is_some_and(|gpu| gpu.accepts(d)));
                shares(of_kind.map(|device| device.index).collect())
            }
            (PlanChoice::Odd(_, devices), Some(_)) => {
                devices.iter().map(|&(index, milli)| DeviceShare { index, milli }).collect()
            }
        };
        let volume = by_name.map_or(0, |volume| volume.id);
        let plan = Plan { host, devices, volume };
        if oracle.host(host).is_some() && request.shape.cpu_kind < 2 {
            oracle.grant(request, &plan);
        }
        plans.push(plan);
    }
    plans
}

pub fn script(entries: std::ops::Range<usize>) -> impl Strategy<Value = Vec<EntryStep>> {
    script_of(entries, 6, 0.15)
}

/// Of so much weight to volumes, and with so many machines that use one.
pub fn script_of(
    entries: std::ops::Range<usize>,
    volumes: u32,
    on_volume: f64,
) -> impl Strategy<Value = Vec<EntryStep>> {
    // Every script begins with a few hosts: without them little can happen.
    let hosts = vec(sane_spec(), 2..5).prop_map(|specs| EntryStep {
        clock: 1_000_000,
        steps: (0..).zip(specs).map(|(n, spec)| register(HostSpec { name: format!("host-{n}"), ..spec })).collect(),
    });
    // Most at the newest feature level, where most can happen.
    let level = option::weighted(0.9, Just(SetFeatureLevel { level: FEATURE_LEVEL_MAX }));
    (hosts, level, vec(entry(volumes, on_volume), entries)).prop_map(|(mut first, level, mut rest)| {
        first.steps.splice(0..0, level.map(|level| Step::Plain(Kind::SetFeatureLevel(level))));
        rest.insert(0, first);
        rest
    })
}

fn register(spec: HostSpec) -> Step {
    Step::Plain(Kind::RegisterHost(RegisterHost { spec }))
}

fn entry(volumes: u32, on_volume: f64) -> impl Strategy<Value = EntryStep> {
    let clock = prop_oneof![
        12 => 0..4i64,
        2 => 40..180i64,
        1 => 600..800i64,
        1 => -800..0i64,
    ];
    // Half seconds, so that what ends now is met as well as what ended before.
    (clock, vec(step(volumes, on_volume), 1..5)).prop_map(|(clock, steps)| EntryStep { clock: clock * 500, steps })
}

fn step(volumes: u32, on_volume: f64) -> impl Strategy<Value = Step> {
    let pick = 0..64usize;
    let oddly = || proptest::bool::weighted(0.1);
    prop_oneof![
        24 => reserve(on_volume),
        volumes => (volume_request(), pick.clone(), option::weighted(0.2, pick.clone()), option::weighted(0.8, held()))
            .prop_map(|(request, host, fork_of, hold)| Step::CreateVolume { request, host, fork_of, hold }),
        4 => (any_request(), vec(pick.clone(), 0..3)).prop_map(|(request, picks)| Step::Release { request, picks }),
        3 => (any_request(), pick.clone(), lease_ms())
            .prop_map(|(request, pick, lease_ms)| Step::Renew { request, pick, lease_ms }),
        2 => (any_request(), pick.clone()).prop_map(|(request, pick)| Step::DeleteVolume { request, pick }),
        3 => (pick.clone(), oddly(), oddly())
            .prop_map(|(pick, wrong_host, stale)| Step::Confirm { pick, wrong_host, stale }),
        3 => (pick.clone(), oddly(), oddly(), any::<bool>())
            .prop_map(|(pick, wrong_host, stale, refused)| Step::End { pick, wrong_host, stale, refused }),
        2 => (pick.clone(), any::<bool>()).prop_map(|(host, reachable)| Step::Reachable { host, reachable }),
        5 => (pick.clone(), report()).prop_map(|(host, report)| Step::Report { host, report }),
        1 => (pick, observation()).prop_map(|(host, observed)| Step::Observe { host, observed }),
        12 => plain().prop_map(Step::Plain),
        6 => (0..12usize).prop_map(Step::Again),
    ]
}

fn reserve(on_volume: f64) -> impl Strategy<Value = Step> {
    let plans =
        prop_oneof![10 => vec(plan_choice(), 1..2), 4 => vec(plan_choice(), 2..4), 1 => vec(plan_choice(), 0..4)];
    let missing = prop_oneof![10 => Just(0), 2 => Just(1), 1 => Just(-1)];
    let on_volume = (option::weighted(on_volume, 0..64usize), any::<bool>());
    (place_request(), on_volume, plans, missing).prop_map(|(request, (on_volume, by_name), plans, missing)| {
        let count = (plans.len() as i32 + missing).max(0) as u32;
        Step::Reserve { request: PlaceRequest { count, ..request }, on_volume, by_name, plans }
    })
}

fn plain() -> impl Strategy<Value = Kind> {
    let name = || (0..5u8).prop_map(|n| format!("host-{n}"));
    let set = vec(label(), 0..3);
    let remove = vec((0..3u8).prop_map(|n| format!("k{n}")), 0..2);
    let update =
        (name(), set, remove, option::of(overcommit())).prop_map(|(name, set_labels, remove_labels, percent)| {
            Kind::UpdateHost(UpdateHost { name, set_labels, remove_labels, cpu_overcommit_percent: percent })
        });
    prop_oneof![
        4 => (name(), spec()).prop_map(|(name, spec)| {
            let name = if spec.name.is_empty() { spec.name.clone() } else { name };
            Kind::RegisterHost(RegisterHost { spec: HostSpec { name, ..spec } })
        }),
        4 => update,
        2 => name().prop_map(|name| Kind::RemoveHost(RemoveHost { name })),
        3 => (name(), prop_oneof![8 => Just(0), 2 => 1..4i32])
            .prop_map(|(name, scheduling)| Kind::SetScheduling(SetScheduling { name, scheduling })),
        3 => image().prop_map(|image| Kind::RecordImage(RecordImage { image })),
        4 => Just(Kind::Expire(Expire {})),
        2 => policy().prop_map(|policy| Kind::SetPolicy(SetPolicy { policy })),
        4 => alias().prop_map(|alias| Kind::SetRegionAlias(SetRegionAlias { alias })),
        1 => (0..=FEATURE_LEVEL_MAX).prop_map(|level| Kind::SetFeatureLevel(SetFeatureLevel { level })),
    ]
}

fn any_request() -> impl Strategy<Value = u8> {
    prop_oneof![1 => Just(0), 60 => 1..=255u8]
}

fn request_id(n: u8) -> String {
    if n == 0 { String::new() } else { format!("request-{n}") }
}

fn app() -> impl Strategy<Value = String> {
    (0..3u8).prop_map(|n| format!("app-{n}"))
}

fn lease_ms() -> impl Strategy<Value = u64> {
    prop_oneof![20 => Just(0), 20 => (1..30u64).prop_map(|seconds| seconds * 1_000), 2 => Just(limits::LEASE_MS), 1 => Just(limits::LEASE_MS + 1)]
}

fn shape() -> impl Strategy<Value = Shape> {
    let kind = |kind: &str| vec![kind.to_owned()];
    let kinds =
        select(vec![vec![], vec![], vec![], kind("a"), kind("b"), kind("a.1g"), vec!["a".to_owned(), "c".to_owned()]]);
    let amounts = prop_oneof![
        20 => Just((1, 1_000)),
        30 => select(vec![(1, 100), (1, 250), (1, 500)]),
        10 => select(vec![(2, 1_000), (3, 1_000)]),
        1 => select(vec![(0, 1_000), (1, 0), (1, 1_001), (2, 500), (65, 1_000), (1, 66_536)]),
    ];
    let gpu = (kinds, amounts, proptest::bool::weighted(0.1))
        .prop_map(|(kinds, (count, milli), same_nvlink_group)| GpuShape { kinds, count, milli, same_nvlink_group });
    let cpu_kind = prop_oneof![40 => Just(0), 10 => Just(1), 1 => Just(7)];
    let memory = prop_oneof![60 => 0..6u64, 1 => Just(u64::MAX)];
    (cpu_kind, 0..4u64, memory, option::weighted(0.7, gpu)).prop_map(|(cpu_kind, cpu, memory_bytes, gpu)| Shape {
        cpu_kind,
        cpu_milli: cpu * 500,
        memory_bytes,
        gpu,
    })
}

fn place_request() -> impl Strategy<Value = PlaceRequest> {
    let image = option::of((0..3u8).prop_map(|n| format!("image-{n}")));
    let rest = (proptest::bool::weighted(0.2), lease_ms());
    (any_request(), app(), image, shape(), constraints(0.05), rest).prop_map(
        |(id, app, image, shape, constraints, (all_or_nothing, lease_ms))| PlaceRequest {
            request_id: request_id(id),
            app,
            image: image.unwrap_or_default(),
            shape,
            constraints,
            count: 1,
            all_or_nothing,
            lease_ms,
            image_blind: false,
        },
    )
}

fn plan_choice() -> impl Strategy<Value = PlanChoice> {
    let odd = (0..64usize, vec((0..6u32, select(vec![0, 100, 250, 500, 1_000, 66_536])), 0..4));
    prop_oneof![
        10 => (0..64usize).prop_map(PlanChoice::Fitting),
        3 => (0..64usize).prop_map(PlanChoice::Crowded),
        2 => odd.prop_map(|(host, devices)| PlanChoice::Odd(host, devices)),
    ]
}

fn overcommit() -> impl Strategy<Value = u32> {
    prop_oneof![10 => select(vec![0, 1, 10, 200]), 1 => Just(10_001)]
}

fn sane_spec() -> impl Strategy<Value = HostSpec> {
    let devices = proptest::sample::subsequence(vec![0u32, 1, 2, 4, 5], 0..=5);
    let kinds = vec(
        select(vec![
            ("a", 0),
            ("a", 0),
            ("a", 0),
            ("b", 0),
            ("b", 0),
            ("b", 0),
            ("a", 1),
            ("a", 1),
            ("b", 2),
            ("a.1g", 0),
        ]),
        5,
    );
    let devices = (devices, kinds).prop_map(|(indices, kinds)| {
        // The last device first: the state must sort them.
        let device = |(index, (kind, nvlink_group)): (u32, (&str, u32))| Device {
            index,
            kind: kind.to_owned(),
            memory_bytes: 80,
            parent: (kind == "a.1g").then_some(9),
            nvlink_group,
        };
        indices.into_iter().zip(kinds).rev().map(device).collect::<Vec<_>>()
    });
    let labels = proptest::sample::subsequence(vec![2u8, 1, 0], 0..=3);
    let labels = (labels, 0..2u8).prop_map(|(keys, value)| {
        keys.into_iter().map(|key| Label { key: format!("k{key}"), value: format!("v{value}") }).collect::<Vec<_>>()
    });
    let sizes = (2..16u64, select(vec![0u32, 50, 100, 150, 200]), 0..4u64, 6..40u64, 0..24u64);
    (0..2u8, 0..2u8, labels, devices, sizes).prop_map(
        |(region, zone, labels, devices, (shared, percent, performance, memory, disk))| HostSpec {
            name: "host".to_owned(),
            region: format!("region-{region}"),
            zone: format!("zone-{zone}"),
            labels,
            cpu_shared_milli: shared * 1_000,
            cpu_overcommit_percent: percent,
            cpu_performance_milli: performance * 1_000,
            memory_bytes: memory,
            volume_bytes: disk,
            cache_bytes: 100,
            devices,
        },
    )
}

fn spec() -> impl Strategy<Value = HostSpec> {
    (sane_spec(), prop_oneof![40 => Just(0u8), 5 => 1..6u8]).prop_map(|(mut spec, flaw)| {
        match flaw {
            1 => spec.name.clear(),
            2 => spec.memory_bytes = limits::SIZE_BYTES + 1,
            3 => {
                spec.labels =
                    vec![Label { key: "k".into(), value: "1".into() }, Label { key: "k".into(), value: "2".into() }]
            }
            4 => spec.devices.extend(spec.devices.first().cloned()),
            5 => spec.devices.iter_mut().for_each(|device| device.parent = Some(4)),
            _ => {}
        }
        spec
    })
}

pub fn commands(kinds: Vec<Kind>) -> Vec<Command> {
    kinds.into_iter().map(|kind| Command { kind: Some(kind) }).collect()
}
