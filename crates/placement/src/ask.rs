//! What is asked for, and what a host has: the two things that constraints and score terms look at.

use gantry_fleet::{Fleet, Host, ImageEntry, Usage};
use gantry_types::{Constraints, PlaceRequest, Shape, VolumeRequest};

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
    /// References of images of machines that plans in flight bring to the host.
    pub(crate) coming_images: &'a [(String, u32)],
}

impl<'a> Room<'a> {
    /// The host as it is applied, with nothing in flight.
    pub fn applied(fleet: &'a Fleet, host: &'a Host, app: &str) -> Self {
        let app_machines = fleet.app_number(app).map_or(0, |number| host.machines_of(number));
        Self { fleet, host, usage: host.usage(), app_machines, coming_images: &[] }
    }

    /// Recorded images of the host's machines, plans in flight included. One may come twice.
    pub fn images_in_use(&self) -> impl Iterator<Item = &'a ImageEntry> {
        let Self { fleet, host, coming_images, .. } = *self;
        fleet.images_in_use(host).chain(coming_images.iter().filter_map(|(reference, _)| fleet.image(reference)))
    }

    /// Thousandths of all devices that nobody has.
    pub fn free_gpu_milli(&self) -> u64 {
        (0..self.usage.devices.len()).map(|at| u64::from(self.usage.free_device_milli(at))).sum()
    }
}
