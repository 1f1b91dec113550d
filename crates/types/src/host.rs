//! What a host says of itself.

use prost::Message;

use crate::{
    Refused,
    error::{name, size},
    limits,
};

/// A host with this label takes only the app or group that is its value, and who requires the label.
pub const DEDICATED_LABEL: &str = "dedicated";

/// A host's declaration: who and where it is, and what it offers. An agent sends it whole at every registration.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HostSpec {
    /// Unique in the fleet; the operator's name for the machine.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub region: String,
    /// A failure domain inside the region.
    #[prost(string, tag = "3")]
    pub zone: String,
    /// Sorted by key, one value a key.
    #[prost(message, repeated, tag = "4")]
    pub labels: Vec<Label>,
    /// Thousandths of CPUs in the shared pool, before overcommit.
    #[prost(uint64, tag = "5")]
    pub cpu_shared_milli: u64,
    /// How much of the shared pool may be promised, in percent of it. 100 is no overcommit; 0 means 100.
    #[prost(uint32, tag = "6")]
    pub cpu_overcommit_percent: u32,
    #[prost(uint64, tag = "7")]
    pub cpu_performance_milli: u64,
    #[prost(uint64, tag = "8")]
    pub memory_bytes: u64,
    /// Disk for volumes.
    #[prost(uint64, tag = "9")]
    pub volume_bytes: u64,
    /// Disk for the image cache.
    #[prost(uint64, tag = "10")]
    pub cache_bytes: u64,
    /// Sorted by index.
    #[prost(message, repeated, tag = "11")]
    pub devices: Vec<Device>,
}

/// One GPU of a host, or a slice of one.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Device {
    /// The index that the host's driver knows it by.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    #[prost(string, tag = "2")]
    pub kind: String,
    #[prost(uint64, tag = "3")]
    pub memory_bytes: u64,
    /// Of a slice (MIG): the index of the GPU that it is cut from, which is no device of its own then.
    #[prost(uint32, optional, tag = "4")]
    pub parent: Option<u32>,
    /// Devices with the same number are linked with each other; 0 for one that is linked with none.
    #[prost(uint32, tag = "5")]
    pub nvlink_group: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

impl HostSpec {
    /// The shared CPU that may be promised.
    pub fn cpu_shared_promisable_milli(&self) -> u64 {
        let percent = if self.cpu_overcommit_percent == 0 { 100 } else { self.cpu_overcommit_percent };
        self.cpu_shared_milli * u64::from(percent) / 100
    }

    /// The feature level that a cluster must have to know all of it.
    pub fn feature_level(&self) -> u32 {
        let newer = self.devices.iter().any(|device| device.parent.is_some() || device.nvlink_group != 0);
        if newer { 2 } else { 1 }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|l| l.key == key).map(|l| l.value.as_str())
    }

    /// Puts labels and devices in the order that the state keeps them in.
    pub fn normalize(&mut self) {
        self.labels.sort();
        self.devices.sort_by_key(|d| d.index);
    }

    pub fn validate(&self) -> Result<(), Refused> {
        name("host.name", &self.name)?;
        name("host.region", &self.region)?;
        name("host.zone", &self.zone)?;
        validate_host_labels(&self.labels)?;
        for (field, milli) in [
            ("host.cpu_shared_milli", self.cpu_shared_milli),
            ("host.cpu_performance_milli", self.cpu_performance_milli),
        ] {
            if milli > limits::CPU_MILLI {
                return Err(Refused::over(field, milli, limits::CPU_MILLI));
            }
        }
        validate_overcommit(self.cpu_overcommit_percent)?;
        size("host.memory_bytes", self.memory_bytes)?;
        size("host.volume_bytes", self.volume_bytes)?;
        size("host.cache_bytes", self.cache_bytes)?;
        if self.devices.len() > limits::DEVICES_PER_HOST {
            return Err(Refused::over("host.devices", self.devices.len() as u64, limits::DEVICES_PER_HOST as u64));
        }
        for device in &self.devices {
            name("host.devices.kind", &device.kind)?;
            size("host.devices.memory_bytes", device.memory_bytes)?;
        }
        if self.devices.windows(2).any(|w| w[0].index == w[1].index) {
            return Err(Refused::invalid("host.devices", "repeat an index"));
        }
        self.devices.iter().try_for_each(|device| self.validate_slice(device))
    }
}

impl HostSpec {
    /// Checks what is said of a device that is a slice of a GPU. Whoever got the GPU would share it with whoever got a
    /// slice, so only one of the two is offered.
    fn validate_slice(&self, device: &Device) -> Result<(), Refused> {
        let Some(parent) = device.parent else { return Ok(()) };
        if self.devices.binary_search_by_key(&parent, |d| d.index).is_ok() {
            let why = format!("is {parent}, which is a device too: offer the GPU or its slices");
            return Err(Refused::invalid("host.devices.parent", why));
        }
        if self.devices.iter().any(|d| d.parent.is_none() && d.kind == device.kind) {
            let why =
                format!("is {:?} for a slice and for a whole GPU: name the slice, as in H100.1g.10gb", device.kind);
            return Err(Refused::invalid("host.devices.kind", why));
        }
        if device.nvlink_group != 0 {
            return Err(Refused::invalid("host.devices.nvlink_group", "is set on a slice, which is linked with none"));
        }
        Ok(())
    }
}

/// Checks a host's labels, sorted.
pub(crate) fn validate_host_labels(labels: &[Label]) -> Result<(), Refused> {
    validate_labels("host.labels", labels)?;
    if labels.windows(2).any(|w| w[0].key == w[1].key) {
        return Err(Refused::invalid("host.labels", "repeat a key: one value a key"));
    }
    Ok(())
}

pub(crate) fn validate_overcommit(percent: u32) -> Result<(), Refused> {
    if percent > limits::OVERCOMMIT_PERCENT {
        return Err(Refused::over("host.cpu_overcommit_percent", percent.into(), limits::OVERCOMMIT_PERCENT.into()));
    }
    Ok(())
}

pub(crate) fn validate_labels(field: &'static str, labels: &[Label]) -> Result<(), Refused> {
    if labels.len() > limits::LABELS {
        return Err(Refused::over(field, labels.len() as u64, limits::LABELS as u64));
    }
    labels.iter().try_for_each(|label| {
        name(field, &label.key)?;
        crate::error::optional_name(field, &label.value)
    })
}
