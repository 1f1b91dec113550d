//! What is asked for, and what a host has: the two things that constraints and score terms look at.

use gantry_fleet::{Fleet, Host, ImageEntry, Usage};
use gantry_types::{Constraints, Party, PlaceRequest, Shape, VolumeRequest};

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
        Self { app, shape: Some(shape), constraints, image_name: image, image: None, volume: None }
    }

    /// As [`Ask::machine_without_image`].
    pub fn volume_without_image(request: &'a VolumeRequest) -> Self {
        let VolumeRequest { app, name, size_bytes, constraints, compute, compute_image, .. } = request;
        let volume = Some((name.as_str(), *size_bytes));
        Self { app, shape: compute.as_ref(), constraints, image_name: compute_image, image: None, volume }
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
}

impl<'a> Room<'a> {
    /// The host as it is applied, with nothing in flight.
    pub fn applied(fleet: &'a Fleet, host: &'a Host, app: &str) -> Self {
        let app_machines = fleet.app_number(app).map_or(0, |number| host.machines_of(number));
        Self { fleet, host, usage: host.usage(), app_machines, in_flight: None }
    }

    /// Recorded images of the host's machines, plans in flight included. One may come twice.
    pub fn images_in_use(&self) -> impl Iterator<Item = &'a ImageEntry> {
        let Self { fleet, host, in_flight, .. } = *self;
        let coming = in_flight.into_iter().flat_map(|in_flight| in_flight.images_on(host.id));
        fleet.images_in_use(host).chain(coming.filter_map(|reference| fleet.image(reference)))
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

    /// Thousandths of all devices that nobody has.
    pub fn free_gpu_milli(&self) -> u64 {
        (0..self.usage.devices.len()).map(|at| u64::from(self.usage.free_device_milli(at))).sum()
    }
}
