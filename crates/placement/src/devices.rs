//! Which GPUs of the chosen host.

use gantry_types::{DeviceShare, GpuShape};

use crate::Room;

/// The devices a machine gets, sorted by index; nothing where they do not suffice. A share goes to the device that it
/// fills most, so that whole devices stay whole; ties go to the lowest index.
pub fn choose_devices(gpu: &GpuShape, room: &Room<'_>) -> Option<Vec<DeviceShare>> {
    let mut fitting: Vec<(u32, u32)> = room
        .host
        .spec
        .devices
        .iter()
        .enumerate()
        .filter(|(_, device)| gpu.accepts(&device.kind))
        .map(|(position, device)| (room.usage.free_device_milli(position), device.index))
        .filter(|&(free, _)| free >= gpu.milli)
        .collect();
    if fitting.len() < gpu.count as usize {
        return None;
    }
    fitting.sort_unstable();
    fitting.truncate(gpu.count as usize);
    let mut chosen: Vec<DeviceShare> =
        fitting.into_iter().map(|(_, index)| DeviceShare { index, milli: gpu.milli }).collect();
    chosen.sort_unstable_by_key(|share| share.index);
    Some(chosen)
}

/// The free thousandths of the device that a share would go to.
pub(crate) fn tightest_free_milli(gpu: &GpuShape, room: &Room<'_>) -> Option<u32> {
    let devices = room.host.spec.devices.iter().enumerate();
    devices
        .filter(|(_, device)| gpu.accepts(&device.kind))
        .map(|(position, _)| room.usage.free_device_milli(position))
        .filter(|&free| free >= gpu.milli)
        .min()
}
