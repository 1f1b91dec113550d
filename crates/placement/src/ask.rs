//! What is asked for, and what a host has: the two things that constraints and score terms look at.

use gantry_fleet::{Fleet, Host, ImageEntry, Usage};
use gantry_types::{Constraints, CpuKind, Hold, Party, PlaceRequest, Plan, Shape, VolumeId, VolumeRequest};

use crate::InFlight;

/// A machine or a volume that wants a host.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub app: &'a str,
    /// Absent for a volume that says nothing of its machine.
    pub shape: Option<&'a Shape>,
    pub constraints: &'a Constraints,
    /// Reference of the machine's image; empty where it has none.
    pub image_name: &'a str,
    /// The recorded image; absent where none is named, none is recorded, or none shall count. Only score terms and
    /// constraints that are advice look at it.
    pub image: Option<&'a ImageEntry>,
    /// Name and size of the volume to create; absent for a machine.
    pub volume: Option<(&'a str, u64)>,
    /// The volume that the machine uses; 0 for none, and where any of a name will do.
    pub uses: VolumeId,
    /// The volume that the one to create is a fork of; 0 for none.
    pub fork_of: VolumeId,
}

impl<'a> Ask<'a> {
    pub fn machine(fleet: &'a Fleet, request: &'a PlaceRequest) -> Self {
        let image = if request.image_blind { None } else { fleet.image(&request.image) };
        Self { image, ..Self::machine_without_image(request) }
    }

    pub fn volume(fleet: &'a Fleet, request: &'a VolumeRequest) -> Self {
        Self { image: fleet.image(&request.compute_image), ..Self::volume_without_image(request) }
    }

    /// All that constraints that are no advice look at: what apply asks for.
    pub fn machine_without_image(request: &'a PlaceRequest) -> Self {
        let PlaceRequest { app, shape, constraints, image, .. } = request;
        let uses = constraints.volume;
        Self { app, shape: Some(shape), constraints, image_name: image, image: None, volume: None, uses, fork_of: 0 }
    }

    /// As [`Ask::machine_without_image`], with the volume that a plan gives the machine.
    pub fn planned(request: &'a PlaceRequest, plan: &Plan) -> Self {
        Self::machine_without_image(request).using(plan.volume_for(&request.constraints))
    }

    /// The same with this volume.
    pub fn using(self, volume: VolumeId) -> Self {
        Self { uses: volume, ..self }
    }

    /// Whether any volume of a name will do, and none is chosen yet.
    pub(crate) fn is_by_name(&self) -> bool {
        self.uses == 0 && !self.constraints.volume_name.is_empty()
    }

    /// As [`Ask::machine_without_image`].
    pub fn volume_without_image(request: &'a VolumeRequest) -> Self {
        let VolumeRequest { app, name, size_bytes, constraints, compute, compute_image, fork_of, .. } = request;
        let volume = Some((name.as_str(), *size_bytes));
        let (image_name, shape, fork_of) = (compute_image.as_str(), compute.as_ref(), *fork_of);
        Self { app, shape, constraints, image_name, image: None, volume, uses: 0, fork_of }
    }
}

/// A host with what is used on it, plans in flight included.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    pub fleet: &'a Fleet,
    pub host: &'a Host,
    pub usage: &'a Usage,
    /// Machines of the asking app on the host, plans in flight included.
    pub app_machines: u32,
    /// Plans in flight, which count; nothing where the host is looked at as it is applied.
    pub(crate) in_flight: Option<&'a InFlight>,
    /// Holds of the host that do not count, in `usage` neither: machines that come here end them.
    pub(crate) ended: &'a [&'a Hold],
}

impl<'a> Room<'a> {
    /// The host as it is applied, with nothing in flight.
    pub fn applied(fleet: &'a Fleet, host: &'a Host, app: &str) -> Self {
        let app_machines = fleet.app_number(app).map_or(0, |number| host.machines_of(number));
        Self { fleet, host, usage: host.usage(), app_machines, in_flight: None, ended: &[] }
    }

    /// CPU of a kind that nobody has, of the shared one as much as may be promised.
    pub(crate) fn free_cpu_milli(&self, kind: CpuKind) -> u64 {
        let (offer, usage) = (&self.host.offer, self.usage);
        match kind {
            CpuKind::Shared => offer.cpu_shared_promisable_milli().saturating_sub(usage.cpu_shared_milli),
            CpuKind::Performance => offer.cpu_performance_milli.saturating_sub(usage.cpu_performance_milli),
        }
    }

    pub(crate) fn free_memory_bytes(&self) -> u64 {
        self.host.offer.memory_bytes.saturating_sub(self.usage.memory_bytes)
    }

    /// Recorded images of the host's machines and of those that something is held for, plans in flight included. One may
    /// come twice.
    pub fn images_in_use(&self) -> impl Iterator<Item = &'a ImageEntry> {
        let Self { fleet, host, in_flight, ended, .. } = *self;
        let coming = in_flight.into_iter().flat_map(|in_flight| in_flight.images_on(host.id));
        let stays = move |image: &&ImageEntry| {
            let reference = &image.image.reference;
            let ends = ended.iter().filter(|hold| hold.image == *reference).count();
            ends == 0 || ends < fleet.image_uses(host, reference) as usize
        };
        fleet.images_in_use(host).filter(stays).chain(coming.filter_map(|reference| fleet.image(reference)))
    }

    /// Machines of an app or group on the host, plans in flight included.
    pub fn machines_on_host(&self, party: Party<'_>) -> u32 {
        let coming = self.in_flight.map_or(0, |in_flight| in_flight.machines_on(self.host.id, party));
        self.fleet.machines_on(self.host, party) + coming
    }

    /// Machines of an app or group in the host's zone, plans in flight included.
    pub fn machines_in_zone(&self, party: Party<'_>) -> u32 {
        let zone = self.host.zone();
        let coming = self.in_flight.map_or(0, |in_flight| in_flight.machines_in(zone, party));
        self.fleet.machines_in(zone, party) + coming
    }

    /// A volume of an app on the host, of this name if one is given; in words.
    pub(crate) fn volume_of(&self, app: &str, name: Option<&str>) -> Option<String> {
        let is_one = |its_app: &str, its_name: &str| its_app == app && name.is_none_or(|name| name == its_name);
        let mut there = self.host.volumes().iter().filter_map(|&id| self.fleet.volume(id));
        if let Some(volume) = there.find(|volume| is_one(&volume.app, &volume.name)) {
            return Some(format!("volume {}", volume.id));
        }
        let mut coming = self.in_flight.into_iter().flat_map(|in_flight| in_flight.volumes_on(self.host.id));
        coming.any(|(app, name)| is_one(app, name)).then(|| "a volume that is being created".to_owned())
    }

    /// Whether a plan in flight gives a volume to a machine.
    pub(crate) fn is_being_attached(&self, volume: VolumeId) -> bool {
        self.in_flight.is_some_and(|in_flight| in_flight.attached_on(self.host.id).contains(&volume))
    }

    /// Thousandths of all devices that nobody has.
    pub fn free_gpu_milli(&self) -> u64 {
        (0..self.usage.devices.len()).map(|at| u64::from(self.usage.free_device_milli(at))).sum()
    }
}
