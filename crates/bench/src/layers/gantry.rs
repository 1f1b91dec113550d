//! Gantry's policy: the planner as it serves requests, with its default policy, over a fleet of these hosts.
//!
//! It knows what a cluster knows: what was granted and when, what agents report once it is there or gone, and the rates
//! that they measured.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

use anyhow::{Context, Result};
use gantry_fleet::{EndReason, Fleet, Grant, LayerReport};
use gantry_placement::{AdviceRules, Advisor, Planner};
use gantry_types::{
    Digest, HostId, HostSpec, Image, Layer, LayerState, PlaceRequest, PullObservation, ReservationId, Shape,
};

use super::{
    files::{ImageNo, LayerNo},
    fleet::{self, HostNo},
    workload::Scenario,
};

/// CPU of a machine: one slot.
const SLOT_MILLI: u64 = 1_000;
const MB: u64 = 1_000_000;
/// Pulls that every host has measured before: so many that what was believed without them plays no part.
const MEASURED: usize = 64;
/// Hosts that are told to fetch ahead at once.
const FETCHES: usize = 64;

#[derive(Debug)]
pub struct Gantry<'a> {
    scenario: &'a Scenario,
    fleet: Fleet,
    planner: Planner,
    /// By their number in the experiment.
    hosts: Vec<HostId>,
    /// What is on its way, by the time at which the agent reports it.
    coming: BinaryHeap<Reverse<(u64, HostNo, ImageNo)>>,
    /// By host: layers that the agent has reported.
    reported: Vec<Vec<LayerNo>>,
    requests: u64,
    /// Fetches ahead, where it is told to.
    advisor: Option<Advisor>,
    /// By host: layers that are being fetched ahead.
    pulling: Vec<Vec<LayerNo>>,
    /// By app: how many of its versions were recorded.
    moved: Vec<usize>,
    /// When the last machine comes: until then every tag has moved.
    last_us: u64,
}

impl<'a> Gantry<'a> {
    pub fn new(scenario: &'a Scenario, simulated: &fleet::Fleet, advised: bool, last_us: u64) -> Result<Self> {
        let mut fleet = Fleet::default();
        let mut hosts = Vec::with_capacity(simulated.hosts());
        for at in 0..simulated.hosts() {
            // No cache is declared: the experiment's hosts drop layers of machines that run, ours would not be asked to.
            let spec = HostSpec {
                name: format!("host-{at:05}"),
                region: "region".into(),
                zone: "zone".into(),
                cpu_shared_milli: u64::from(simulated.slots) * SLOT_MILLI,
                ..HostSpec::default()
            };
            let host = fleet.register_host(spec)?;
            for streams in [1, gantry_types::STREAMS] {
                (0..MEASURED).try_for_each(|_| fleet.observe_pull(host, &pull(simulated.link_mb_per_s, streams)))?;
            }
            hosts.push(host);
        }
        if !advised {
            for no in 0..scenario.images.len() {
                fleet.record_image(image_of(scenario, no as ImageNo, reference(no as ImageNo)))?;
            }
        }
        let (planner, coming, reported) = (Planner::default(), BinaryHeap::new(), vec![Vec::new(); hosts.len()]);
        let advisor = advised.then(|| Advisor::of(&fleet, AdviceRules::default()));
        let (pulling, moved) = (vec![Vec::new(); hosts.len()], vec![0; scenario.apps.len()]);
        Ok(Self { scenario, fleet, planner, hosts, coming, reported, requests: 0, advisor, pulling, moved, last_us })
    }

    /// Hosts for the machines of one request, as many as there are free slots, each with its reservation.
    pub fn plan(
        &mut self,
        simulated: &fleet::Fleet,
        app: u32,
        image: ImageNo,
        machines: u32,
    ) -> Result<Vec<(HostNo, ReservationId)>> {
        self.requests += 1;
        self.fleet.begin(self.requests, simulated.now_us / 1_000);
        self.arrived(simulated)?;
        self.move_tags(simulated)?;
        let image = if self.advisor.is_some() { tag(app) } else { reference(image) };
        let request = PlaceRequest {
            app: format!("app-{app}"),
            image,
            shape: Shape { cpu_milli: SLOT_MILLI, ..Shape::default() },
            count: machines,
            ..PlaceRequest::default()
        };
        self.planner.catch_up(&self.fleet);
        let Some(planned) = self.planner.try_plan(&self.fleet, &request) else { return Ok(Vec::new()) };
        let mut placed = Vec::with_capacity(planned.plans.len());
        for plan in &planned.plans {
            let reservation = self.fleet.grant(Grant { request: &request, plan });
            let at = self.hosts.iter().position(|&host| host == plan.host).context("a plan names another host")?;
            placed.push((at as HostNo, reservation.id));
        }
        self.planner.settle(&request, &planned.plans);
        self.happened();
        Ok(placed)
    }

    /// Has hosts fetch ahead as it is advised. Returns the bytes.
    pub fn tick(&mut self, simulated: &mut fleet::Fleet) -> Result<u64> {
        self.requests += 1;
        self.fleet.begin(self.requests, simulated.now_us / 1_000);
        self.arrived(simulated)?;
        self.move_tags(simulated)?;
        let Some(advisor) = &mut self.advisor else { return Ok(0) };
        let mut bytes = 0;
        for advice in advisor.fetches(&self.fleet, FETCHES, &BTreeSet::new()) {
            let at = self.hosts.iter().position(|&host| host == advice.host).context("advice names another host")?;
            let app = (0..self.moved.len()).find(|&app| tag(app as u32) == advice.reference);
            let app = app.context("advice names another image")?;
            bytes += self.fetch(simulated, at, self.scenario.apps[app][self.moved[app] - 1].1)?;
        }
        self.happened();
        Ok(bytes)
    }

    fn fetch(&mut self, simulated: &mut fleet::Fleet, at: usize, image: ImageNo) -> Result<u64> {
        let whole = &self.scenario.images[image as usize];
        let missing: Vec<LayerNo> = whole.layers.iter().copied().filter(|layer| !simulated.has(at, *layer)).collect();
        let fetched = simulated.fetch(at, whole);
        let coming = missing.into_iter().filter(|layer| simulated.has(at, *layer));
        let coming: Vec<LayerNo> = coming.collect();
        let report = LayerReport {
            present: coming
                .iter()
                .map(|&layer| (digest(layer), self.scenario.layer_bytes[layer as usize], LayerState::Pulling))
                .collect(),
            ..LayerReport::default()
        };
        self.fleet.report_layers(self.hosts[at], &report).context("a layer report is refused")?;
        self.pulling[at].extend(coming);
        self.started(simulated, at as HostNo, image, fetched.wait_us)?;
        Ok(fetched.fetched_bytes)
    }

    /// With advice, images are recorded when their tags move: nobody knows of them before.
    fn move_tags(&mut self, simulated: &fleet::Fleet) -> Result<()> {
        if self.advisor.is_none() {
            return Ok(());
        }
        let time = simulated.now_us as f64 / self.last_us as f64;
        for (app, versions) in self.scenario.apps.iter().enumerate() {
            let now = versions.partition_point(|&(from, _)| from <= time).max(1);
            for version in &versions[self.moved[app]..now] {
                self.fleet.record_image(image_of(self.scenario, version.1, tag(app as u32)))?;
            }
            self.moved[app] = now;
        }
        self.happened();
        Ok(())
    }

    /// What the store and the watchers take; and what the advisor sees.
    fn happened(&mut self) {
        self.fleet.take_changes();
        let events = self.fleet.take_events();
        if let Some(advisor) = &mut self.advisor {
            advisor.follow(&self.fleet, &events);
        }
    }

    /// Agents report what has come until now.
    fn arrived(&mut self, simulated: &fleet::Fleet) -> Result<()> {
        while let Some(&Reverse((at_us, host, image))) = self.coming.peek() {
            if at_us > simulated.now_us {
                break;
            }
            self.coming.pop();
            self.report(simulated, host, Some(image))?;
        }
        Ok(())
    }

    /// A machine was started that has to wait until then for what its host fetches.
    pub fn started(&mut self, simulated: &fleet::Fleet, host: HostNo, image: ImageNo, wait_us: u64) -> Result<()> {
        self.coming.push(Reverse((simulated.now_us + wait_us, host, image)));
        self.report(simulated, host, None)
    }

    pub fn departed(&mut self, reservation: ReservationId) -> Result<()> {
        self.fleet.end(reservation, EndReason::Released).map(drop).context("a machine that stood cannot end")
    }

    /// What the agent says once an image is there, and once layers are gone.
    fn report(&mut self, simulated: &fleet::Fleet, host: HostNo, image: Option<ImageNo>) -> Result<()> {
        let known = &mut self.reported[host as usize];
        let is_gone = |layer: &LayerNo| !simulated.has(host as usize, *layer);
        let pulling = &mut self.pulling[host as usize];
        let gone: BTreeSet<LayerNo> = known.iter().chain(&*pulling).copied().filter(is_gone).collect();
        known.retain(|layer| !is_gone(layer));
        pulling.retain(|layer| !is_gone(layer));
        let layers = image.into_iter().flat_map(|image| &self.scenario.images[image as usize].layers).copied();
        let present: Vec<LayerNo> = layers.filter(|layer| !is_gone(layer) && !known.contains(layer)).collect();
        known.extend(&present);
        pulling.retain(|layer| !present.contains(layer));
        if gone.is_empty() && present.is_empty() {
            return Ok(());
        }
        let report = LayerReport {
            present: present
                .into_iter()
                .map(|layer| (digest(layer), self.scenario.layer_bytes[layer as usize], LayerState::Unpacked))
                .collect(),
            gone: gone.into_iter().map(digest).collect(),
            ..LayerReport::default()
        };
        self.fleet.report_layers(self.hosts[host as usize], &report).context("a layer report is refused")
    }
}

/// A pull at the experiment's rate, and unpacking that takes next to nothing.
fn pull(mb_per_s: u64, streams: u32) -> PullObservation {
    let fetched_bytes = mb_per_s * MB * 10;
    PullObservation { fetched_bytes, fetch_ms: 10_000, streams, unpacked_bytes: 1_000_000 * MB, unpack_ms: 1_000 }
}

fn tag(app: u32) -> String {
    format!("app-{app}:latest")
}

fn image_of(scenario: &Scenario, no: ImageNo, reference: String) -> Image {
    let layer = |&layer: &LayerNo| Layer {
        digest: digest(layer).0.to_vec(),
        size_bytes: scenario.layer_bytes[layer as usize],
        diff_id: Vec::new(),
    };
    Image {
        reference,
        digest: digest(u32::MAX - no).0.to_vec(),
        platform: "linux/amd64".into(),
        layers: scenario.images[no as usize].layers.iter().map(layer).collect(),
    }
}

fn reference(image: ImageNo) -> String {
    format!("image-{image}")
}

fn digest(number: u32) -> Digest {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    Digest(digest)
}
