//! Which GPUs of the chosen host.

use std::cmp::Reverse;

use gantry_types::{Device, DeviceShare, GpuShape};
use smallvec::SmallVec;

use crate::Room;

/// A device that a share fits on.
#[derive(Clone, Copy, Debug)]
struct Fitting {
    free_milli: u32,
    /// Its NVLink group; 0 for none.
    group: u32,
    /// Devices of its group that a share fits on, this one included.
    linked: u32,
    index: u32,
}

/// The devices a machine gets, sorted by index; nothing where they do not suffice. Several are of one NVLink group if one
/// has as many, and of the one that they fill most; otherwise they come from the largest groups. A share, and a single
/// device, goes where it takes the last of what is there: the device that it fills most, in the smallest group, so that
/// whole devices and whole groups stay whole. Ties go to the lowest index. `free_milli` names another device for a share:
/// one that has so much free.
pub fn choose_devices(gpu: &GpuShape, room: &Room<'_>, free_milli: Option<u32>) -> Option<Vec<DeviceShare>> {
    choose(gpu, found(gpu, room, |_| true), free_milli)
}

/// As [`choose_devices`], among those that are held for the machine only.
pub(crate) fn choose_held(gpu: &GpuShape, room: &Room<'_>, held: &[DeviceShare]) -> Option<Vec<DeviceShare>> {
    choose(gpu, found(gpu, room, |device| held.iter().any(|share| share.index == device.index)), None)
}

fn choose(gpu: &GpuShape, mut found: SmallVec<[Fitting; 16]>, free_milli: Option<u32>) -> Option<Vec<DeviceShare>> {
    let count = gpu.count as usize;
    if let Some(free_milli) = free_milli.filter(|&milli| found.iter().any(|device| device.free_milli == milli)) {
        found.retain(|device| device.free_milli == free_milli);
    }
    if count > 1 {
        let sufficient = found.iter().filter(|device| device.group != 0 && device.linked >= gpu.count);
        match sufficient.map(|device| (device.linked, device.group)).min() {
            Some((_, group)) => found.retain(|device| device.group == group),
            None if gpu.must_be_linked() => return None,
            None => {}
        }
    }
    if found.len() < count {
        return None;
    }
    let (smallest, largest) = (count == 1, count > 1);
    found.sort_unstable_by_key(|device| {
        let group = (if smallest { device.linked } else { 0 }, Reverse(if largest { device.linked } else { 0 }));
        (device.free_milli, group, device.index)
    });
    found.truncate(count);
    let mut chosen: Vec<DeviceShare> =
        found.into_iter().map(|device| DeviceShare { index: device.index, milli: gpu.milli }).collect();
    chosen.sort_unstable_by_key(|share| share.index);
    Some(chosen)
}

/// The devices of some that a share fits on.
fn found(gpu: &GpuShape, room: &Room<'_>, of: impl Fn(&Device) -> bool) -> SmallVec<[Fitting; 16]> {
    let mut found: SmallVec<[Fitting; 16]> = fitting(gpu, room)
        .filter(|(_, device)| of(device))
        .map(|(free_milli, device)| Fitting { free_milli, group: device.nvlink_group, linked: 1, index: device.index })
        .collect();
    // Most hosts declare no groups.
    if found.iter().any(|device| device.group != 0) {
        for at in 0..found.len() {
            let group = found[at].group;
            if group != 0 {
                found[at].linked = found.iter().filter(|other| other.group == group).count() as u32;
            }
        }
    }
    found
}

/// The most devices of one NVLink group that a share fits on.
pub(crate) fn most_linked(gpu: &GpuShape, room: &Room<'_>) -> u32 {
    let found = found(gpu, room, |_| true);
    found.iter().filter(|device| device.group != 0).map(|device| device.linked).max().unwrap_or(0)
}

/// Devices that a share fits on, with what they have free.
pub(crate) fn fitting<'a>(gpu: &'a GpuShape, room: &'a Room<'_>) -> impl Iterator<Item = (u32, &'a Device)> {
    let devices = room.host.offer.devices.iter().enumerate();
    devices
        .map(|(position, device)| (room.usage.free_device_milli(position), device))
        .filter(|(free_milli, device)| *free_milli >= gpu.milli && gpu.accepts(device))
}

#[cfg(test)]
mod tests {
    use gantry_fleet::{Fleet, Grant};
    use gantry_types::{HostSpec, PlaceRequest, Plan, Shape, WHOLE_GPU_MILLI};

    use super::*;

    /// A host with devices of these NVLink groups, on which shares are taken.
    fn fleet(groups: &[u32], taken: &[(u32, u32)]) -> Fleet {
        let device = |(index, &nvlink_group)| Device { index, kind: "a".into(), nvlink_group, ..Device::default() };
        let spec = HostSpec {
            name: "h".into(),
            region: "region".into(),
            zone: "zone".into(),
            devices: (0..).zip(groups).map(device).collect(),
            ..HostSpec::default()
        };
        let mut fleet = Fleet::default();
        fleet.register_host(spec).unwrap();
        for &(index, milli) in taken {
            let plan = Plan { host: 1, devices: vec![DeviceShare { index, milli }], ..Plan::default() };
            fleet.grant(Grant { request: &request(1, milli, false), plan: &plan });
        }
        fleet
    }

    fn request(count: u32, milli: u32, same_nvlink_group: bool) -> PlaceRequest {
        let gpu = GpuShape { kinds: Vec::new(), count, milli, same_nvlink_group };
        PlaceRequest {
            app: "app".into(),
            shape: Shape { gpu: Some(gpu), ..Shape::default() },
            ..PlaceRequest::default()
        }
    }

    fn chosen(fleet: &Fleet, count: u32, milli: u32, linked: bool) -> Option<Vec<u32>> {
        let gpu = GpuShape { kinds: Vec::new(), count, milli, same_nvlink_group: linked };
        let room = Room::applied(fleet, fleet.host(1).unwrap(), "app");
        choose_devices(&gpu, &room, None).map(|shares| shares.iter().map(|share| share.index).collect())
    }

    #[test]
    fn several_devices_are_of_one_group_if_one_has_as_many() {
        let whole = WHOLE_GPU_MILLI;
        let fleet_of_two = fleet(&[1, 2, 1, 2, 2, 1, 1], &[]);
        assert_eq!(chosen(&fleet_of_two, 3, whole, false), Some(vec![1, 3, 4]), "the group that is filled most");
        assert_eq!(chosen(&fleet_of_two, 4, whole, true), Some(vec![0, 2, 5, 6]));
        assert_eq!(
            chosen(&fleet_of_two, 5, whole, false),
            Some(vec![0, 1, 2, 5, 6]),
            "the largest group, and one more"
        );
        assert_eq!(chosen(&fleet_of_two, 5, whole, true), None);
        let broken = fleet(&[1, 1, 1, 1, 2, 2], &[(0, 100), (2, 100), (3, 100)]);
        assert_eq!(chosen(&broken, 2, whole, true), Some(vec![4, 5]));
        assert_eq!(chosen(&fleet(&[0, 0, 0], &[]), 2, whole, true), None, "devices without a group are not linked");
        assert_eq!(chosen(&fleet(&[0, 0, 0], &[]), 2, whole, false), Some(vec![0, 1]));
    }

    #[test]
    fn one_device_leaves_whole_what_is_whole() {
        let linked = fleet(&[1, 1, 2, 1], &[]);
        assert_eq!(chosen(&linked, 1, WHOLE_GPU_MILLI, true), Some(vec![2]), "the smallest group");
        let begun = fleet(&[1, 1, 2, 1], &[(1, 500)]);
        assert_eq!(chosen(&begun, 1, 500, false), Some(vec![1]), "the device that is filled most");
    }

    #[test]
    fn a_slice_is_only_for_those_who_name_it() {
        let device = |index, kind: &str, parent| Device { index, kind: kind.into(), parent, ..Device::default() };
        let slice = device(10, "H100.1g.10gb", Some(0));
        let gpu =
            |kinds: &[&str]| GpuShape { kinds: kinds.iter().map(|k| (*k).into()).collect(), ..GpuShape::default() };
        assert!(!gpu(&[]).accepts(&slice) && !gpu(&["H100"]).accepts(&slice));
        assert!(gpu(&["H100.1g.10gb"]).accepts(&slice) && !gpu(&["H100.1g.10gb"]).accepts(&device(1, "H100", None)));
        assert!(gpu(&[]).accepts(&device(1, "H100", None)));
    }
}
