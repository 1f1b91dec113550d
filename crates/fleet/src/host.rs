//! One host: what it declared, what is promised on it, what lies on it.

use std::{borrow::Cow, sync::Arc};

use gantry_types::{
    CpuKind, DeviceShare, Hold, HostId, HostOverrides, HostSpec, LayerId, ReservationId, Shape, VolumeId,
    WHOLE_GPU_MILLI,
};
use prost::Enumeration;
use smallvec::SmallVec;

use crate::{MeasuredRates, layers::HeldLayer, names::Counts, pulls::Pull};

/// Whether new machines and volumes may go to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Scheduling {
    Open = 0,
    /// Nothing new.
    Cordoned = 1,
    /// Nothing new, and what is there should move away.
    Draining = 2,
}

/// Resources in use, in the units of the declaration. `devices` runs parallel to the declared devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_shared_milli: u64,
    pub cpu_performance_milli: u64,
    pub memory_bytes: u64,
    pub volume_bytes: u64,
    pub devices: SmallVec<[u16; 8]>,
}

#[derive(Clone, Debug)]
pub struct Host {
    pub id: HostId,
    /// What counts: the declaration with the operator's overrides.
    pub spec: Arc<HostSpec>,
    /// As `spec` without the name: one value for all hosts that offer the same. What looks at many hosts reads this.
    pub offer: Arc<HostSpec>,
    /// What the agent registered; the same value as `spec` while nothing is overridden.
    pub(crate) declared: Arc<HostSpec>,
    pub(crate) overrides: Option<Box<HostOverrides>>,
    pub name: Arc<str>,
    pub scheduling: Scheduling,
    /// Its agent has not been heard of for too long.
    pub unreachable: bool,
    pub(crate) usage: Usage,
    /// Machines here by the numbers of their apps.
    pub(crate) apps: Counts,
    /// Machines here by the numbers of their groups.
    pub(crate) groups: Counts,
    /// The number of its zone.
    pub(crate) zone: u32,
    /// Machines here by the numbers of their images.
    pub(crate) images: Counts,
    /// Sorted.
    pub(crate) reservations: Vec<ReservationId>,
    /// Sorted.
    pub(crate) volumes: Vec<VolumeId>,
    /// Sorted by layer.
    pub(crate) layers: Vec<HeldLayer>,
    pub(crate) layer_bytes: u64,
    /// Of the layers, those being fetched. Sorted by layer.
    pub(crate) pulls: Vec<Pull>,
    pub(crate) measured: Option<Box<MeasuredRates>>,
}

impl Usage {
    /// Nothing used, on a host with so many devices.
    pub fn empty(devices: usize) -> Self {
        Self { devices: SmallVec::from_elem(0, devices), ..Self::default() }
    }

    /// Adds what a machine of `shape` takes, but for its devices.
    pub fn add_shape(&mut self, shape: &Shape) {
        *self.cpu_mut(shape) += shape.cpu_milli;
        self.memory_bytes += shape.memory_bytes;
    }

    /// Takes back what [`Usage::add_shape`] added.
    pub fn subtract_shape(&mut self, shape: &Shape) {
        *self.cpu_mut(shape) -= shape.cpu_milli;
        self.memory_bytes -= shape.memory_bytes;
    }

    /// Adds CPU, memory and disk of another usage: all but its devices.
    pub fn add_pools(&mut self, other: &Self) {
        self.cpu_shared_milli += other.cpu_shared_milli;
        self.cpu_performance_milli += other.cpu_performance_milli;
        self.memory_bytes += other.memory_bytes;
        self.volume_bytes += other.volume_bytes;
    }

    /// Adds shares of devices. Those of devices that the host does not have are ignored; the checks before a grant
    /// refuse them.
    pub fn add_shares(&mut self, shares: &[DeviceShare], spec: &HostSpec) {
        for share in shares {
            if let Some(position) = device_position(spec, share.index) {
                self.devices[position] += share.milli as u16;
            }
        }
    }

    /// Takes back what [`Usage::add_shares`] added under the same declaration.
    pub(crate) fn subtract_shares(&mut self, shares: &[DeviceShare], spec: &HostSpec) {
        for share in shares {
            if let Some(position) = device_position(spec, share.index) {
                self.devices[position] -= share.milli as u16;
            }
        }
    }

    fn cpu_mut(&mut self, shape: &Shape) -> &mut u64 {
        match shape.cpu_kind() {
            CpuKind::Shared => &mut self.cpu_shared_milli,
            CpuKind::Performance => &mut self.cpu_performance_milli,
        }
    }

    /// The thousandths of the device at `position` that nobody has. None are left where a plan in flight counts twice
    /// because it was just applied.
    #[inline]
    pub fn free_device_milli(&self, position: usize) -> u32 {
        WHOLE_GPU_MILLI.saturating_sub(u32::from(self.devices[position]))
    }
}

/// What counts, what was declared, and the overrides between them. Most hosts have none, and then hold one value.
fn effective(
    declared: HostSpec,
    overrides: HostOverrides,
) -> (Arc<HostSpec>, Arc<HostSpec>, Option<Box<HostOverrides>>) {
    let declared = Arc::new(declared);
    if overrides.is_empty() {
        return (Arc::clone(&declared), declared, None);
    }
    (Arc::new(overrides.applied_to(&declared)), declared, Some(Box::new(overrides)))
}

/// Where in the declared devices an index is.
pub(crate) fn device_position(spec: &HostSpec, index: u32) -> Option<usize> {
    // Nearly always devices are 0, 1, 2, ...: look there first.
    match spec.devices.get(index as usize) {
        Some(device) if device.index == index => Some(index as usize),
        _ => spec.devices.binary_search_by_key(&index, |d| d.index).ok(),
    }
}

impl Host {
    pub(crate) fn new(id: HostId, declared: HostSpec, overrides: HostOverrides) -> Self {
        let (spec, declared, overrides) = effective(declared, overrides);
        Self {
            id,
            name: Arc::from(spec.name.as_str()),
            usage: Usage::empty(spec.devices.len()),
            offer: Arc::clone(&spec),
            spec,
            declared,
            overrides,
            scheduling: Scheduling::Open,
            unreachable: false,
            apps: Counts::default(),
            groups: Counts::default(),
            zone: 0,
            images: Counts::default(),
            reservations: Vec::new(),
            volumes: Vec::new(),
            layers: Vec::new(),
            layer_bytes: 0,
            pulls: Vec::new(),
            measured: None,
        }
    }

    /// Replaces the declaration and its overrides. The caller brings usage in step with the devices.
    pub(crate) fn redeclare(&mut self, declared: HostSpec, overrides: HostOverrides) {
        (self.spec, self.declared, self.overrides) = effective(declared, overrides);
    }

    /// What an operator changed of the declaration.
    pub(crate) fn overrides(&self) -> HostOverrides {
        self.overrides.as_deref().cloned().unwrap_or_default()
    }

    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What is used once a hold on this host is given back.
    pub fn usage_without(&self, hold: Option<&Hold>) -> Cow<'_, Usage> {
        let mut usage = Cow::Borrowed(&self.usage);
        hold.into_iter().for_each(|hold| usage.to_mut().subtract_hold(hold, &self.spec));
        usage
    }

    /// The number of its zone, under which the fleet counts what is in it.
    pub fn zone(&self) -> u32 {
        self.zone
    }

    pub fn reservations(&self) -> &[ReservationId] {
        &self.reservations
    }

    pub fn volumes(&self) -> &[VolumeId] {
        &self.volumes
    }

    pub fn layers(&self) -> &[HeldLayer] {
        &self.layers
    }

    pub fn holds(&self, layer: LayerId) -> Option<&HeldLayer> {
        self.layers.binary_search_by_key(&layer, |held| held.layer).ok().map(|at| &self.layers[at])
    }

    /// Compressed bytes of all layers on the host, as far as agents and manifests say. For people to look at.
    pub fn layer_bytes(&self) -> u64 {
        self.layer_bytes
    }

    /// Machines of one app on the host.
    pub fn machines_of(&self, app: u32) -> u32 {
        self.apps.of(app)
    }
}
