//! What a host has to give: found by looking, unless the config says otherwise.

mod disk;
mod memory;

use std::io;

use gantry_types::{Device, HostSpec, Refused};
use nvml_wrapper::error::NvmlError;
use serde::Serialize;

use crate::{
    Config,
    gpu::{self, Found},
};

pub use disk::Room;

/// What was found on a host, before the config has its say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    pub host_name: String,
    /// CPUs that this process may run on: affinity and control groups count.
    pub cpus: u64,
    /// Of the machine, or of this process' control group where that is less.
    pub memory_bytes: u64,
    /// Where volumes lie; absent where no directory is configured.
    pub volumes: Option<Room>,
    /// Where images lie.
    pub cache: Option<Room>,
    /// Absent where there is no driver, or where NVML is not asked.
    pub nvml: Option<gpu::Reading>,
}

/// Why a host's capacity is not known.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    #[error("{what} cannot be read: {source}")]
    Read { what: String, source: io::Error },
    #[error("NVML is there and fails: {0}; set gpu.ignore or gpu.devices to go on without it")]
    Nvml(#[from] NvmlError),
    #[error("the cluster would refuse this host: {0}")]
    Refused(#[from] Refused),
}

impl CapacityError {
    fn read(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Read { what, source }
    }
}

/// Looks at the host.
pub fn look(config: &Config) -> Result<Seen, CapacityError> {
    let cpus = std::thread::available_parallelism().map_err(CapacityError::read("the number of CPUs"))?;
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let room = |dir: Option<&std::path::PathBuf>| {
        dir.map(|dir| disk::room(dir).map_err(CapacityError::read(dir.display().to_string()))).transpose()
    };
    let capacity = &config.capacity;
    let asks_nvml = !config.gpu.ignore && config.gpu.devices.is_none();
    Ok(Seen {
        host_name,
        cpus: cpus.get() as u64,
        memory_bytes: memory::bytes().map_err(CapacityError::read("the amount of memory"))?,
        volumes: room(capacity.volume_dir.as_ref().filter(|_| capacity.volume_bytes.is_none()))?,
        cache: room(capacity.cache_dir.as_ref().filter(|_| capacity.cache_bytes.is_none()))?,
        nvml: if asks_nvml { gpu::read()? } else { None },
    })
}

/// What the cluster is told: what was seen, where the config does not say otherwise.
pub fn declare(config: &Config, seen: &Seen) -> Result<HostSpec, CapacityError> {
    let capacity = &config.capacity;
    let shared = || (seen.cpus * 1_000).saturating_sub(capacity.cpu_performance_milli);
    let (volume_bytes, cache_bytes) = disk::shares(seen.volumes, seen.cache);
    let mut spec = HostSpec {
        name: config.host.clone().unwrap_or_else(|| seen.host_name.clone()),
        region: config.region.clone(),
        zone: config.zone.clone(),
        labels: config.labels(),
        cpu_shared_milli: capacity.cpu_shared_milli.unwrap_or_else(shared),
        cpu_overcommit_percent: capacity.cpu_overcommit_percent,
        cpu_performance_milli: capacity.cpu_performance_milli,
        memory_bytes: capacity.memory_bytes.unwrap_or(seen.memory_bytes),
        volume_bytes: capacity.volume_bytes.unwrap_or(volume_bytes),
        cache_bytes: capacity.cache_bytes.unwrap_or(cache_bytes),
        devices: devices(config, seen),
    };
    spec.normalize();
    spec.validate()?;
    Ok(spec)
}

fn devices(config: &Config, seen: &Seen) -> Vec<Device> {
    if let Some(declared) = &config.gpu.devices {
        return declared.iter().map(Device::from).collect();
    }
    found(config, seen).iter().map(Device::from).collect()
}

/// The devices that NVML knows, with their UUIDs.
pub fn found(config: &Config, seen: &Seen) -> Vec<Found> {
    seen.nvml.as_ref().map_or_else(Vec::new, |reading| gpu::devices(reading, &config.gpu.kinds))
}

/// What was seen and what would be declared, for people and programs.
#[derive(Debug, Serialize)]
pub struct Report {
    pub seen: Seen,
    /// With their UUIDs, as NVML and the container runtime know them.
    pub devices: Vec<Found>,
    pub declared: Declared,
}

#[derive(Debug, Serialize)]
pub struct Declared {
    pub name: String,
    pub region: String,
    pub zone: String,
    pub cpu_shared_milli: u64,
    pub cpu_overcommit_percent: u32,
    pub cpu_performance_milli: u64,
    pub memory_bytes: u64,
    pub volume_bytes: u64,
    pub cache_bytes: u64,
    /// Indices.
    pub devices: Vec<u32>,
}

/// Looks at the host and tells nobody else.
pub fn report(config: &Config) -> Result<Report, CapacityError> {
    let seen = look(config)?;
    let spec = declare(config, &seen)?;
    let declared = Declared {
        name: spec.name,
        region: spec.region,
        zone: spec.zone,
        cpu_shared_milli: spec.cpu_shared_milli,
        cpu_overcommit_percent: spec.cpu_overcommit_percent,
        cpu_performance_milli: spec.cpu_performance_milli,
        memory_bytes: spec.memory_bytes,
        volume_bytes: spec.volume_bytes,
        cache_bytes: spec.cache_bytes,
        devices: spec.devices.iter().map(|device| device.index).collect(),
    };
    Ok(Report { devices: found(config, &seen), seen, declared })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        toml::from_str(&format!("cluster = [\"a:1\"]\nregion = \"r\"\nzone = \"z\"\n{more}")).unwrap()
    }

    fn seen() -> Seen {
        let on = |device, usable_bytes| Some(Room { device, usable_bytes });
        Seen {
            host_name: "kernel".to_owned(),
            cpus: 8,
            memory_bytes: 64 << 30,
            volumes: on(1, 1_000),
            cache: on(2, 300),
            nvml: None,
        }
    }

    #[test]
    fn what_is_found_is_declared() {
        let spec = declare(&config(""), &seen()).unwrap();
        assert_eq!((spec.name.as_str(), spec.cpu_shared_milli, spec.cpu_performance_milli), ("kernel", 8_000, 0));
        assert_eq!((spec.memory_bytes, spec.volume_bytes, spec.cache_bytes), (64 << 30, 1_000, 300));
    }

    #[test]
    fn the_config_has_the_last_word() {
        let more = "host = \"h\"\n[capacity]\ncpu_performance_milli = 3000\nmemory_bytes = 5\nvolume_bytes = 6\n\
                    cache_bytes = 7\n[gpu]\ndevices = [{ index = 3, kind = \"H100\", memory_bytes = 9 }]\n";
        let spec = declare(&config(more), &seen()).unwrap();
        assert_eq!((spec.name.as_str(), spec.cpu_shared_milli, spec.cpu_performance_milli), ("h", 5_000, 3_000));
        assert_eq!((spec.memory_bytes, spec.volume_bytes, spec.cache_bytes), (5, 6, 7));
        assert_eq!(spec.devices.iter().map(|device| device.index).collect::<Vec<_>>(), [3]);
        let spec = declare(&config("[capacity]\ncpu_shared_milli = 1\n"), &seen()).unwrap();
        assert_eq!(spec.cpu_shared_milli, 1);
    }

    #[test]
    fn what_the_cluster_would_refuse_is_refused_here() {
        let error = declare(&config("host = \"\"\n"), &seen()).unwrap_err();
        assert!(error.to_string().contains("host.name"), "{error}");
    }

    #[test]
    fn this_machine_has_cpus_memory_and_a_disk() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&format!("[capacity]\ncache_dir = {:?}\n", dir.path()));
        let seen = look(&config).unwrap();
        assert!(seen.cpus > 0 && seen.memory_bytes > 1 << 20, "{seen:?}");
        assert!(seen.cache.unwrap().usable_bytes > 0 && seen.volumes.is_none(), "{seen:?}");
    }
}
