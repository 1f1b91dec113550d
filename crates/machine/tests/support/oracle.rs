//! What the state machine should do, in the dumbest way: lists, and every number recomputed from them each time.

#[path = "oracle_constraints.rs"]
mod oracle_constraints;
#[path = "oracle_hosts.rs"]
mod oracle_hosts;
#[path = "oracle_pulls.rs"]
mod oracle_pulls;
#[path = "oracle_volumes.rs"]
mod oracle_volumes;

use std::collections::{BTreeMap, BTreeSet};

use gantry_machine::{Effect, Kind, Release, Renew, ReportLayers, Reserve};
use gantry_types::{HostSpec, Image, PlaceRequest, Plan, Policy, Reservation, Shape, Volume, limits};

use oracle_constraints::constraints_are_sane;
pub use oracle_hosts::OracleHost;
use oracle_pulls::hints_are_sane;

/// An effect, or the reason of a refusal.
pub type Predicted = Result<Effect, &'static str>;
type Check = Result<(), &'static str>;

const INVALID: &str = "INVALID_ARGUMENT";
const LEVEL: &str = "FEATURE_LEVEL";

/// What is free; negative where too much was given away.
#[derive(Debug, PartialEq)]
pub struct Free {
    pub cpu: [i128; 2],
    pub memory: i128,
    pub disk: i128,
    pub gpus: BTreeMap<u32, i128>,
}

#[derive(Clone, Debug)]
pub struct Remembered {
    request_id: String,
    content: Kind,
    stamp: u64,
    effect: Effect,
}

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    now: u64,
    rev: u64,
    /// The feature level, less the one that every cluster begins with.
    level: u32,
    pub hosts_ever: u32,
    grants_ever: u64,
    volumes_ever: u64,
    pub hosts: Vec<OracleHost>,
    pub removed: Vec<(u32, u64)>,
    pub reservations: Vec<Reservation>,
    pub volumes: Vec<Volume>,
    pub images: BTreeMap<String, Image>,
    pub layer_sizes: BTreeMap<Vec<u8>, u64>,
    /// Of layers, as agents said first.
    pub diff_ids: BTreeMap<Vec<u8>, Vec<u8>>,
    pub requests: Vec<Remembered>,
    pub aliases: BTreeMap<String, Vec<String>>,
    pub policies: BTreeMap<String, Policy>,
}

impl Oracle {
    pub fn begin(&mut self, rev: u64, stamp: u64) {
        self.rev = rev;
        self.now = self.now.max(stamp);
    }

    /// After an entry of so many commands.
    pub fn finish(&mut self, commands: usize) {
        self.forget_requests(2 * commands);
    }

    pub fn apply(&mut self, kind: &Kind) -> Predicted {
        let done = Effect::Done { rev: self.rev };
        if kind.feature_level() > 1 + self.level {
            return Err(LEVEL);
        }
        match kind {
            Kind::Reserve(c) => self.once(&c.request.request_id, kind, |o| o.reserve(c)),
            Kind::Release(c) => self.once(&c.request_id, kind, |o| o.release(c)),
            Kind::Renew(c) => self.once(&c.request_id, kind, |o| o.renew(c)),
            Kind::CreateVolume(c) => self.once(&c.request.request_id, kind, |o| o.create_volume(c)),
            Kind::DeleteVolume(c) => self.once(&c.request_id, kind, |o| o.delete_volume(c.volume)),
            Kind::Confirm(c) => self.agent_names(c.host, c.reservation, c.fence).map(|at| {
                self.reservations[at].phase = 1;
                self.reservations[at].expires_at = 0;
                done
            }),
            Kind::EndByHost(c) => self.agent_names(c.host, c.reservation, c.fence).map(|at| {
                self.end(at);
                done
            }),
            Kind::Expire(_) => Ok(self.expire()),
            Kind::RegisterHost(c) => self.register(c),
            Kind::UpdateHost(c) => self.update(c).map(|()| done),
            Kind::RemoveHost(c) => self.remove(&c.name).map(|()| done),
            Kind::SetScheduling(c) => self.schedule(c),
            Kind::ReportLayers(c) => self.report(c).map(|()| done),
            Kind::RecordImage(c) => self.record(&c.image).map(|()| done),
            Kind::SetFeatureLevel(c) if c.level < 1 + self.level => Err(LEVEL),
            Kind::SetFeatureLevel(c) => {
                self.level = c.level - 1;
                Ok(done)
            }
            Kind::SetReachable(c) => self.set_reachable(c).map(|()| done),
            Kind::ObservePull(c) => self.observe(c).map(|()| done),
            Kind::SetRegionAlias(c) => self.set_alias(&c.alias).map(|()| done),
            Kind::SetPolicy(c) => self.set_policy(&c.policy).map(|()| done),
        }
    }

    fn once(&mut self, request_id: &str, kind: &Kind, act: impl FnOnce(&mut Self) -> Predicted) -> Predicted {
        if let Some(before) = self.requests.iter().find(|r| r.request_id == request_id) {
            return if same_content(&before.content, kind) {
                Ok(before.effect.clone())
            } else {
                Err("REQUEST_ID_REUSED")
            };
        }
        if request_id.is_empty() {
            return Err(INVALID);
        }
        let effect = act(self)?;
        self.requests.push(Remembered {
            request_id: request_id.to_owned(),
            content: kind.clone(),
            stamp: self.now,
            effect: effect.clone(),
        });
        Ok(effect)
    }

    pub fn host(&self, id: u32) -> Option<&OracleHost> {
        self.hosts.iter().find(|host| host.id == id)
    }

    fn named(&self, name: &str) -> Result<usize, &'static str> {
        self.hosts.iter().position(|host| host.spec.name == name).ok_or("UNKNOWN_HOST")
    }

    /// The capacity check: what was declared less everything that was given away.
    pub fn free(&self, id: u32, spec: &HostSpec) -> Free {
        self.free_for(id, spec, 0)
    }

    /// As [`Oracle::free`] for a machine that uses a volume.
    fn free_for(&self, id: u32, spec: &HostSpec, volume: u64) -> Free {
        let percent = if spec.cpu_overcommit_percent == 0 { 100 } else { i128::from(spec.cpu_overcommit_percent) };
        let mut free = Free {
            cpu: [i128::from(spec.cpu_shared_milli) * percent / 100, spec.cpu_performance_milli.into()],
            memory: spec.memory_bytes.into(),
            disk: spec.volume_bytes.into(),
            gpus: spec.devices.iter().map(|device| (device.index, 1_000)).collect(),
        };
        for row in self.reservations.iter().filter(|row| row.plan.host == id) {
            free.cpu[row.shape.cpu_kind as usize] -= i128::from(row.shape.cpu_milli);
            free.memory -= i128::from(row.shape.memory_bytes);
            for share in &row.plan.devices {
                *free.gpus.entry(share.index).or_default() -= i128::from(share.milli);
            }
        }
        for hold in self.volumes.iter().filter(|v| v.host == id && v.id != volume).filter_map(|v| v.hold.as_ref()) {
            free.cpu[hold.shape.cpu_kind as usize] -= i128::from(hold.shape.cpu_milli);
            free.memory -= i128::from(hold.shape.memory_bytes);
            for share in &hold.devices {
                *free.gpus.entry(share.index).or_default() -= i128::from(share.milli);
            }
        }
        free.disk -= self.volumes.iter().filter(|v| v.host == id).map(|v| i128::from(v.size_bytes)).sum::<i128>();
        free
    }

    fn has_pools(free: &Free, shape: &Shape) -> bool {
        i128::from(shape.cpu_milli) <= free.cpu[shape.cpu_kind as usize]
            && i128::from(shape.memory_bytes) <= free.memory
    }

    /// The devices on which a share of the shape fits, by index.
    fn devices_with_room(&self, host: &OracleHost, shape: &Shape, volume: u64) -> Vec<u32> {
        let Some(gpu) = &shape.gpu else { return Vec::new() };
        let free = self.free_for(host.id, &host.spec, volume);
        let fits = |d: &&gantry_types::Device| {
            let named = gpu.kinds.contains(&d.kind) || gpu.kinds.is_empty() && d.parent.is_none();
            named && free.gpus[&d.index] >= i128::from(gpu.milli)
        };
        host.spec.devices.iter().filter(fits).map(|device| device.index).collect()
    }

    /// Of these, as many of one NVLink group as there can be; all of them where that is not asked for.
    pub fn linked(&self, host: &OracleHost, shape: &Shape, volume: u64) -> Vec<u32> {
        let room = self.devices_with_room(host, shape, volume);
        if !shape.gpu.as_ref().is_some_and(|gpu| gpu.same_nvlink_group && gpu.count > 1) {
            return room;
        }
        let group = |index: u32| host.spec.devices.iter().find(|d| d.index == index).map_or(0, |d| d.nvlink_group);
        let of = |wanted: u32| room.iter().copied().filter(|index| group(*index) == wanted).collect::<Vec<_>>();
        (1..4).map(of).max_by_key(Vec::len).unwrap_or_default()
    }

    fn are_linked(host: &OracleHost, plan: &Plan) -> bool {
        let group = |index: u32| host.spec.devices.iter().find(|d| d.index == index).map_or(0, |d| d.nvlink_group);
        let groups: BTreeSet<u32> = plan.devices.iter().map(|share| group(share.index)).collect();
        groups.len() == 1 && !groups.contains(&0)
    }

    fn plan_fits(&self, request: &PlaceRequest, plan: &Plan) -> bool {
        let Some(host) = self.host(plan.host) else { return false };
        let shape = &request.shape;
        let volume = plan.volume.max(request.constraints.volume);
        self.allows(host, &request.app, &request.constraints)
            && self.may_attach(host, request, volume)
            && self.devices_fit(host, shape, plan, volume)
    }

    /// Whether a host has room for a shape on just these devices.
    fn devices_fit(&self, host: &OracleHost, shape: &Shape, plan: &Plan, volume: u64) -> bool {
        let count = shape.gpu.as_ref().map_or(0, |gpu| gpu.count as usize);
        let room = self.devices_with_room(host, shape, volume);
        Self::has_pools(&self.free_for(host.id, &host.spec, volume), shape)
            && plan.devices.len() == count
            && self.linked(host, shape, volume).len() >= count
            && (count < 2 || !shape.gpu.as_ref().is_some_and(|g| g.same_nvlink_group) || Self::are_linked(host, plan))
            && plan
                .devices
                .iter()
                .all(|d| room.contains(&d.index) && Some(d.milli) == shape.gpu.as_ref().map(|g| g.milli))
            && plan.devices.windows(2).all(|pair| pair[0].index < pair[1].index)
    }

    fn reserve(&mut self, command: &Reserve) -> Predicted {
        let Reserve { request, plans, .. } = command;
        let wanted = request.count as usize;
        if !shape_is_sane(&request.shape)
            || request.app.is_empty()
            || wanted == 0
            || request.lease_ms > limits::LEASE_MS
            || request.constraints.volume != 0 && wanted > 1
            || request.constraints.volume != 0 && !request.constraints.volume_name.is_empty()
            || plans.iter().any(|plan| (plan.volume == 0) != request.constraints.volume_name.is_empty())
            || request.constraints.unique_zone
            || request.constraints.unique_zone_app_wide
            || !constraints_are_sane(&request.app, &request.constraints)
            || plans.is_empty()
            || plans.len() > wanted
            || request.all_or_nothing && plans.len() < wanted
        {
            return Err(INVALID);
        }
        let before = self.clone();
        let mut reservations = Vec::new();
        for plan in plans {
            if !self.plan_fits(request, plan) {
                *self = before;
                return Err("CONTENDED");
            }
            reservations.push(std::sync::Arc::new(self.grant(request, plan)));
        }
        Ok(Effect::Placed { rev: self.rev, reservations, missing: (wanted - plans.len()) as u32 })
    }

    pub fn grant(&mut self, request: &PlaceRequest, plan: &Plan) -> Reservation {
        self.grants_ever += 1;
        let lease_ms = if request.lease_ms == 0 { limits::LEASE_DEFAULT_MS } else { request.lease_ms };
        let reservation = Reservation {
            id: self.grants_ever,
            fence: self.grants_ever,
            app: request.app.clone(),
            image: request.image.clone(),
            shape: request.shape.clone(),
            plan: plan.clone(),
            volume: plan.volume.max(request.constraints.volume),
            phase: 0,
            lease_ms,
            expires_at: self.now + lease_ms,
            created_at: self.now,
            rev: self.rev,
            request_id: request.request_id.clone(),
            group: request.constraints.group.clone(),
        };
        self.volumes.iter_mut().filter(|v| v.id == reservation.volume).for_each(|v| {
            v.used_by = reservation.id;
            v.hold = None;
        });
        self.reservations.push(reservation.clone());
        reservation
    }

    fn end(&mut self, at: usize) {
        let ended = self.reservations.remove(at);
        self.volumes.iter_mut().filter(|v| v.used_by == ended.id).for_each(|v| v.used_by = 0);
    }

    fn standing(&self, id: u64) -> Result<usize, &'static str> {
        self.reservations.iter().position(|row| row.id == id).ok_or("UNKNOWN_RESERVATION")
    }

    fn agent_names(&self, host: u32, id: u64, fence: u64) -> Result<usize, &'static str> {
        let at = self.standing(id)?;
        match &self.reservations[at] {
            row if row.plan.host != host => Err("WRONG_HOST"),
            row if row.fence != fence => Err("FENCED"),
            _ => Ok(at),
        }
    }

    fn release(&mut self, command: &Release) -> Predicted {
        if command.reservations.is_empty() {
            return Err(INVALID);
        }
        command.reservations.iter().try_for_each(|&id| self.standing(id).map(drop))?;
        for &id in &command.reservations {
            if let Ok(at) = self.standing(id) {
                self.end(at);
            }
        }
        Ok(Effect::Done { rev: self.rev })
    }

    fn renew(&mut self, command: &Renew) -> Predicted {
        if command.lease_ms > limits::LEASE_MS {
            return Err(INVALID);
        }
        let at = self.standing(command.reservation)?;
        let (now, row) = (self.now, &mut self.reservations[at]);
        if row.phase == 0 {
            row.lease_ms = if command.lease_ms == 0 { row.lease_ms } else { command.lease_ms };
            row.expires_at = now + row.lease_ms;
        }
        Ok(Effect::Renewed { rev: self.rev, until: row.expires_at })
    }

    fn delete_volume(&mut self, id: u64) -> Predicted {
        let at = self.volumes.iter().position(|v| v.id == id).ok_or("UNKNOWN_VOLUME")?;
        if self.volumes[at].used_by != 0 {
            return Err("VOLUME_IN_USE");
        }
        self.volumes.remove(at);
        Ok(Effect::Done { rev: self.rev })
    }

    fn expire(&mut self) -> Effect {
        let before = self.reservations.len();
        let holds = self.expire_holds();
        while let Some(at) = self.reservations.iter().position(|r| r.expires_at != 0 && r.expires_at <= self.now) {
            self.end(at);
        }
        self.forget_requests(usize::MAX);
        let oldest = self.requests.first().map_or(u64::MAX, |r| r.stamp);
        let horizon = self.now.saturating_sub(limits::REQUEST_MEMORY_MS);
        self.removed.retain(|&(_, at)| at >= horizon || at >= oldest);
        Effect::Expired { rev: self.rev, leases: holds + (before - self.reservations.len()) as u32 }
    }

    fn forget_requests(&mut self, at_most: usize) {
        let horizon = self.now.saturating_sub(limits::REQUEST_MEMORY_MS);
        let old = self.requests.iter().take(at_most).take_while(|r| r.stamp < horizon).count();
        self.requests.drain(..old);
    }

    fn report(&mut self, command: &ReportLayers) -> Check {
        let is_digest = |bytes: &Vec<u8>| bytes.len() == 32;
        let sane =
            command.present.iter().all(|l| is_digest(&l.digest) && l.state < 3 && l.size_bytes <= limits::LAYER_BYTES);
        let sane = sane && command.present.iter().all(hints_are_sane);
        if !sane || !command.gone.iter().all(is_digest) || command.full && !command.gone.is_empty() {
            return Err(INVALID);
        }
        let host = self.hosts.iter_mut().find(|host| host.id == command.host).ok_or("UNKNOWN_HOST")?;
        if command.full {
            host.layers.clear();
        }
        for layer in &command.present {
            host.layers.insert(layer.digest.clone(), layer.state);
            self.layer_sizes.entry(layer.digest.clone()).or_insert(layer.size_bytes);
            if let Some(fetched_bytes) = layer.fetched_bytes {
                host.progress.insert(layer.digest.clone(), (fetched_bytes, self.now));
            }
        }
        host.layers.retain(|digest, _| !command.gone.contains(digest));
        host.progress.retain(|digest, _| host.layers.get(digest) == Some(&0));
        self.keep_named_layers();
        for layer in command.present.iter().filter(|layer| !layer.diff_id.is_empty()) {
            if self.layer_sizes.contains_key(&layer.digest) {
                self.diff_ids.entry(layer.digest.clone()).or_insert_with(|| layer.diff_id.clone());
            }
        }
        Ok(())
    }

    fn record(&mut self, image: &Image) -> Check {
        let sane = |l: &gantry_types::Layer| l.digest.len() == 32 && l.size_bytes <= limits::LAYER_BYTES;
        let sane = |l: &gantry_types::Layer| sane(l) && (l.diff_id.is_empty() || l.diff_id.len() == 32);
        if image.reference.is_empty() || image.layers.is_empty() || !image.layers.iter().all(sane) {
            return Err(INVALID);
        }
        for layer in &image.layers {
            self.layer_sizes.entry(layer.digest.clone()).or_insert(layer.size_bytes);
        }
        self.images.insert(image.reference.clone(), image.clone());
        self.keep_named_layers();
        Ok(())
    }

    /// Of what lies on hosts, a layer's first size and diff id stay for as long as anything names the layer.
    fn keep_named_layers(&mut self) {
        let Self { hosts, images, layer_sizes, diff_ids, .. } = self;
        layer_sizes.retain(|digest, _| {
            hosts.iter().any(|host| host.layers.contains_key(digest))
                || images.values().any(|image| image.layers.iter().any(|l| l.digest == *digest))
        });
        diff_ids.retain(|digest, _| layer_sizes.contains_key(digest));
    }
}

/// Whether two commands ask for the same, wherever they were planned to go.
fn same_content(a: &Kind, b: &Kind) -> bool {
    match (a, b) {
        (Kind::Reserve(a), Kind::Reserve(b)) => a.request == b.request,
        (Kind::CreateVolume(a), Kind::CreateVolume(b)) => a.request == b.request,
        _ => a == b,
    }
}

fn shape_is_sane(shape: &Shape) -> bool {
    let gpu_is_sane = shape.gpu.as_ref().is_none_or(|gpu| {
        (1..=64).contains(&gpu.count) && (1..=1_000).contains(&gpu.milli) && (gpu.count == 1 || gpu.milli == 1_000)
    });
    let asks_for_something = shape.cpu_milli > 0 || shape.memory_bytes > 0 || shape.gpu.is_some();
    shape.cpu_kind < 2 && shape.memory_bytes <= limits::SIZE_BYTES && asks_for_something && gpu_is_sane
}
