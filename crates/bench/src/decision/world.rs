//! A fleet in operation, and a planner over it: what the leader's decider holds, without the log between them.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use fastrand::Rng;
use gantry_fleet::{EndReason, Fleet, Grant, LayerReport};
use gantry_placement::{Ask, Planned, Planner, Room, admits, choose_devices};
use gantry_types::{Digest, HostId, Image, Layer, LayerState, PlaceRequest, Plan, ReservationId};

use super::kinds::Zipf;
use crate::{
    catalogue::{self, App, Catalogue},
    fleet::Host,
};

/// Images that a host has pulled, by popularity: many of them share layers.
const IMAGES_PER_HOST: usize = 16;
/// Plans proposed and not yet settled, as while entries are being synced.
const IN_FLIGHT: usize = 32;
/// Draws of a machine for a host that none of them fits before it is left as it is.
const DRAWS: usize = 12;

#[derive(Debug)]
pub struct World {
    pub fleet: Fleet,
    pub planner: Planner,
    pub rng: Rng,
    standing: Vec<ReservationId>,
    in_flight: VecDeque<(PlaceRequest, Vec<Plan>)>,
}

impl World {
    /// Hosts with images in their caches, and no machine on them.
    pub fn new(hosts: &[Host], catalogue: &Catalogue, apps: &[App], seed: u64) -> Result<Self> {
        let rng = Rng::with_seed(seed);
        let (fleet, planner) = (Fleet::default(), Planner::default());
        let mut world = Self { fleet, planner, rng, standing: Vec::new(), in_flight: VecDeque::new() };
        for image in apps.iter().flat_map(|app| &app.versions) {
            world.fleet.record_image(image_of(image, catalogue)?).context("an image of the catalogue is refused")?;
        }
        let popularity = Zipf::new(apps.len());
        for host in hosts {
            let spec = host.spec().try_into().context("a host of the fleet is refused")?;
            let id = world.fleet.register_host(spec).context("a host of the fleet is refused")?;
            world.fill_cache(id, host, catalogue, apps, &popularity)?;
        }
        world.drain();
        Ok(world)
    }

    fn fill_cache(
        &mut self,
        id: HostId,
        host: &Host,
        catalogue: &Catalogue,
        apps: &[App],
        popularity: &Zipf,
    ) -> Result<()> {
        let (mut room, mut present) = (host.cache_bytes(), Vec::new());
        for _ in 0..IMAGES_PER_HOST {
            let app = &apps[popularity.draw(&mut self.rng)];
            let image = &app.versions[self.rng.usize(..app.versions.len())];
            if image.size_bytes > room {
                break;
            }
            room -= image.size_bytes;
            for &no in &image.layers {
                present.push((
                    layer_of(no, catalogue)?.0,
                    catalogue.layers[no as usize].size_bytes,
                    LayerState::Unpacked,
                ));
            }
        }
        let report = LayerReport { full: true, present, ..LayerReport::default() };
        self.fleet.report_layers(id, &report).context("a host's layers are refused")
    }

    /// Puts machines on every host until about `percent` of its GPUs are taken: no policy has chosen these, so that what
    /// is measured does not depend on what filled the fleet.
    pub fn fill(&mut self, kinds: &[PlaceRequest], percent: u32) {
        let popularity = Zipf::new(kinds.len());
        let ids: Vec<HostId> = self.fleet.host_ids().collect();
        for id in ids {
            // Some hosts are nearly full and some nearly empty.
            let want = (percent + self.rng.u32(..61)).saturating_sub(30).min(100);
            for _ in 0..DRAWS {
                let request = &kinds[popularity.draw(&mut self.rng)];
                self.put(id, request, want);
            }
        }
        self.drain();
    }

    fn put(&mut self, id: HostId, request: &PlaceRequest, percent: u32) {
        let Some(host) = self.fleet.host(id) else { return };
        let ask = Ask::machine(&self.fleet, request);
        let room = Room::applied(&self.fleet, host, &request.app);
        let all = 1_000 * host.spec.devices.len() as u64;
        let taken = all - room.free_gpu_milli();
        let more = request.shape.gpu.as_ref().map_or(0, |gpu| gpu.total_milli());
        if (taken + more) * 100 > all * u64::from(percent) || admits(&self.fleet, &ask, id).is_err() {
            return;
        }
        let devices = match &request.shape.gpu {
            None => Vec::new(),
            Some(gpu) => match choose_devices(gpu, &room, None) {
                Some(devices) => devices,
                None => return,
            },
        };
        let reservation = self.fleet.grant(Grant { request, plan: &Plan { host: id, devices, ..Plan::default() } });
        self.standing.push(reservation.id);
    }

    /// What is measured: the applied changes are taken over, and the request is planned with its explanation.
    pub fn decide(&mut self, request: &PlaceRequest) -> Option<Planned> {
        self.planner.catch_up(&self.fleet);
        self.planner.plan(&self.fleet, request).ok()
    }

    /// What comes with a decision: an older plan is applied and settled, its host pulls the image and drops a layer, and
    /// a machine somewhere ends.
    pub fn go_on(&mut self, request: &PlaceRequest, planned: Option<Planned>, catalogue: &Images<'_>) -> Result<()> {
        if let Some(planned) = planned {
            self.in_flight.push_back((request.clone(), planned.plans));
        }
        while self.in_flight.len() > IN_FLIGHT {
            let Some((request, plans)) = self.in_flight.pop_front() else { break };
            for plan in &plans {
                self.apply(&request, plan);
                self.pull(&request, plan.host, catalogue)?;
            }
            self.planner.settle(&request, &plans);
            for _ in &plans {
                self.release();
            }
        }
        self.drain();
        Ok(())
    }

    fn apply(&mut self, request: &PlaceRequest, plan: &Plan) {
        let grant = Grant { request, plan };
        if self.fleet.fits(grant).is_ok() {
            let reservation = self.fleet.grant(grant);
            self.standing.push(reservation.id);
        }
    }

    fn release(&mut self) {
        if self.standing.is_empty() {
            return;
        }
        let id = self.standing.swap_remove(self.rng.usize(..self.standing.len()));
        self.fleet.end(id, EndReason::Released).expect("it stands until it is taken off this list");
    }

    /// The agent's report once a pull is done; a host that has the image already says nothing.
    fn pull(&mut self, request: &PlaceRequest, id: HostId, images: &Images<'_>) -> Result<()> {
        let (Some(host), Some(image)) = (self.fleet.host(id), self.fleet.image(&request.image)) else { return Ok(()) };
        if gantry_placement::present_bytes(Some(image), host) == image.size_bytes {
            return Ok(());
        }
        let held = host.layers();
        let gone = if held.is_empty() { None } else { Some(held[self.rng.usize(..held.len())].layer) };
        let gone = gone.map(|layer| self.fleet.layer_digest(layer));
        let present = images.layers(&request.image)?;
        let report = LayerReport { present, gone: gone.into_iter().collect(), ..LayerReport::default() };
        self.fleet.report_layers(id, &report).context("a layer report is refused")
    }

    /// As the store and the watchers do.
    fn drain(&mut self) {
        drop(self.fleet.take_changes());
        drop(self.fleet.take_events());
    }
}

/// Finds the layers of a reference.
#[derive(Debug)]
pub struct Images<'a> {
    catalogue: &'a Catalogue,
    by_reference: std::collections::HashMap<&'a str, &'a catalogue::Image>,
}

impl<'a> Images<'a> {
    pub fn new(catalogue: &'a Catalogue) -> Self {
        let by_reference = catalogue.images.iter().map(|image| (image.reference.as_str(), &**image)).collect();
        Self { catalogue, by_reference }
    }

    fn layers(&self, reference: &str) -> Result<Vec<(Digest, u64, LayerState)>> {
        let Some(image) = self.by_reference.get(reference) else { return Ok(Vec::new()) };
        let layer = |&no| layer_of(no, self.catalogue).map(|(digest, size)| (digest, size, LayerState::Unpacked));
        image.layers.iter().map(layer).collect()
    }
}

fn layer_of(no: catalogue::LayerNo, catalogue: &Catalogue) -> Result<(Digest, u64)> {
    let layer = &catalogue.layers[no as usize];
    Ok((Digest::parse("layer.digest", &layer.digest)?, layer.size_bytes))
}

fn image_of(image: &catalogue::Image, catalogue: &Catalogue) -> Result<Image> {
    let layer = |&no| {
        let (digest, size_bytes) = layer_of(no, catalogue)?;
        Ok(Layer { digest: digest.0.to_vec(), size_bytes, diff_id: Vec::new() })
    };
    Ok(Image {
        reference: image.reference.clone(),
        digest: Digest::parse("image.digest", &image.digest)?.0.to_vec(),
        platform: image.platform.clone(),
        layers: image.layers.iter().map(layer).collect::<Result<_>>()?,
    })
}
