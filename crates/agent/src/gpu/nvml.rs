//! Reads NVML, the library that comes with NVIDIA's driver. It is looked for when the agent runs, so that one binary serves
//! hosts with and without GPUs.

use std::ffi::OsStr;

use nvml_wrapper::{Device, Nvml, error::NvmlError};

use super::{GpuReading, LinkEnd, Reading, SliceReading};

/// The name that the driver's packages install; the one without a number comes with development packages only.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// Links that any GPU has at most, with room for newer ones. The first that a GPU does not know ends the list.
const LINKS: u32 = 64;

/// What NVML says now; `None` where there is no library or no driver. An error where there are and they fail.
pub fn read() -> Result<Option<Reading>, NvmlError> {
    let nvml = match Nvml::builder().lib_path(OsStr::new(LIBRARY)).init() {
        Ok(nvml) => nvml,
        Err(NvmlError::LibloadingError(_) | NvmlError::DriverNotLoaded | NvmlError::LibraryNotFound) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let count = nvml.device_count()?;
    let gpus = (0..count).map(|index| gpu(&nvml.device_by_index(index)?, index)).collect::<Result<_, _>>()?;
    Ok(Some(Reading { driver: nvml.sys_driver_version()?, gpus }))
}

fn gpu(device: &Device<'_>, index: u32) -> Result<GpuReading, NvmlError> {
    let mig_enabled = supported(device.mig_mode())?.is_some_and(|mode| mode.current == 1);
    Ok(GpuReading {
        index,
        name: device.name()?,
        uuid: device.uuid()?,
        bus_id: device.pci_info()?.bus_id,
        memory_bytes: device.memory_info()?.total,
        mig_enabled,
        slices: if mig_enabled { slices(device)? } else { Vec::new() },
        links: links(device),
    })
}

fn slices(device: &Device<'_>) -> Result<Vec<SliceReading>, NvmlError> {
    let mut slices = Vec::new();
    for index in 0..device.mig_device_count()? {
        let slice = match device.mig_device_by_index(index) {
            Ok(slice) => slice,
            // Numbers without a slice.
            Err(NvmlError::NotFound | NvmlError::InvalidArg) => continue,
            Err(error) => return Err(error),
        };
        slices.push(SliceReading {
            index,
            name: slice.name()?,
            uuid: slice.uuid()?,
            memory_bytes: slice.memory_info()?.total,
        });
    }
    Ok(slices)
}

/// A link that NVML cannot tell of is none: without links a GPU is offered all the same.
fn links(device: &Device<'_>) -> Vec<LinkEnd> {
    let mut ends = Vec::new();
    for number in 0..LINKS {
        let link = device.link_wrapper_for(number);
        match link.is_active() {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => break,
        }
        let bus_id = link.remote_pci_info().ok().map(|pci| pci.bus_id);
        ends.push(bus_id.filter(|bus_id| is_bus_id(bus_id)).map_or(LinkEnd::Hidden, LinkEnd::At));
    }
    ends.sort();
    ends.dedup();
    ends
}

/// Whether it is one of a device, and not a placeholder: bus 0, device 0 is the bridge of the processor.
fn is_bus_id(bus_id: &str) -> bool {
    bus_id.contains(':')
        && bus_id.chars().any(|c| c.is_ascii_hexdigit() && c != '0')
        && !bus_id.to_lowercase().contains("ff:ff")
}

/// Nothing where the GPU is too old to be asked.
fn supported<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
