//! What a machine needs of a host.

use prost::{Enumeration, Message};

use crate::{Device, Refused, limits};

/// The thousandths of a whole GPU.
pub const WHOLE_GPU_MILLI: u32 = 1_000;

/// Which pool of a host's CPUs is used. Shared CPUs may be overcommitted by the host, performance CPUs never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CpuKind {
    Shared = 0,
    Performance = 1,
}

/// The resources of one machine.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Shape {
    #[prost(enumeration = "CpuKind", tag = "1")]
    pub cpu_kind: i32,
    /// Thousandths of a CPU.
    #[prost(uint64, tag = "2")]
    pub cpu_milli: u64,
    #[prost(uint64, tag = "3")]
    pub memory_bytes: u64,
    #[prost(message, optional, tag = "4")]
    pub gpu: Option<GpuShape>,
}

/// The GPUs of one machine, all on one host.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct GpuShape {
    /// Acceptable kinds; empty accepts any.
    #[prost(string, repeated, tag = "1")]
    pub kinds: Vec<String>,
    #[prost(uint32, tag = "2")]
    pub count: u32,
    /// Thousandths of each GPU. Below 1000 only with a count of 1.
    #[prost(uint32, tag = "3")]
    pub milli: u32,
    /// All GPUs must be in one NVLink group. Otherwise they only had better be.
    #[prost(bool, tag = "4")]
    pub same_nvlink_group: bool,
}

impl GpuShape {
    /// Whole GPUs are shared with nobody.
    pub fn is_whole(&self) -> bool {
        self.milli == WHOLE_GPU_MILLI
    }

    /// Thousandths over all GPUs asked for.
    pub fn total_milli(&self) -> u64 {
        u64::from(self.count) * u64::from(self.milli)
    }

    /// Whether a device is of an acceptable kind. A slice of a GPU is only for those who name its kind.
    pub fn accepts(&self, device: &Device) -> bool {
        if self.kinds.is_empty() { device.parent.is_none() } else { self.kinds.contains(&device.kind) }
    }

    /// Whether it matters on which NVLink group the GPUs are.
    pub fn must_be_linked(&self) -> bool {
        self.same_nvlink_group && self.count > 1
    }
}

impl Shape {
    /// The feature level that a cluster must have to know all of it.
    pub(crate) fn feature_level(&self) -> u32 {
        if self.gpu.as_ref().is_some_and(|gpu| gpu.same_nvlink_group) { 2 } else { 1 }
    }

    /// Refuses what no host could ever mean: zero or absurd amounts, shares of several GPUs.
    pub fn validate(&self) -> Result<(), Refused> {
        if CpuKind::try_from(self.cpu_kind).is_err() {
            return Err(Refused::invalid("shape.cpu_kind", "is not a known CPU kind: use shared or performance"));
        }
        if self.cpu_milli > limits::CPU_MILLI {
            return Err(Refused::over("shape.cpu_milli", self.cpu_milli, limits::CPU_MILLI));
        }
        if self.memory_bytes > limits::SIZE_BYTES {
            return Err(Refused::over("shape.memory_bytes", self.memory_bytes, limits::SIZE_BYTES));
        }
        if self.cpu_milli == 0 && self.memory_bytes == 0 && self.gpu.is_none() {
            return Err(Refused::invalid("shape", "asks for nothing: give cpu_milli, memory_bytes or gpu"));
        }
        self.gpu.as_ref().map_or(Ok(()), GpuShape::validate)
    }
}

impl GpuShape {
    fn validate(&self) -> Result<(), Refused> {
        if self.count == 0 || self.count as usize > limits::DEVICES_PER_HOST {
            return Err(Refused::invalid(
                "shape.gpu.count",
                format!("is {}: must be 1 to {}", self.count, limits::DEVICES_PER_HOST),
            ));
        }
        if self.milli == 0 || self.milli > WHOLE_GPU_MILLI {
            return Err(Refused::invalid(
                "shape.gpu.milli",
                format!("is {}: must be 1 to {WHOLE_GPU_MILLI} thousandths of a GPU", self.milli),
            ));
        }
        if self.count > 1 && !self.is_whole() {
            return Err(Refused::invalid(
                "shape.gpu",
                format!("asks for {} GPUs of {} thousandths: a share is of one GPU only", self.count, self.milli),
            ));
        }
        if self.kinds.len() > limits::DEVICES_PER_HOST {
            return Err(Refused::over("shape.gpu.kinds", self.kinds.len() as u64, limits::DEVICES_PER_HOST as u64));
        }
        self.kinds.iter().try_for_each(|kind| crate::error::name("shape.gpu.kinds", kind))
    }
}
