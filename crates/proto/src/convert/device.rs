//! GPUs and parts of them.

use gantry_types as types;

use crate::v1;

impl From<v1::Device> for types::Device {
    fn from(device: v1::Device) -> Self {
        Self {
            index: device.index,
            kind: device.kind,
            memory_bytes: device.memory_bytes,
            parent: device.parent,
            nvlink_group: device.nvlink_group,
        }
    }
}

impl From<types::Device> for v1::Device {
    fn from(device: types::Device) -> Self {
        Self {
            index: device.index,
            kind: device.kind,
            memory_bytes: device.memory_bytes,
            parent: device.parent,
            nvlink_group: device.nvlink_group,
        }
    }
}

impl From<types::DeviceShare> for v1::DeviceShare {
    fn from(share: types::DeviceShare) -> Self {
        Self { index: share.index, milli: share.milli }
    }
}

impl From<v1::DeviceShare> for types::DeviceShare {
    fn from(share: v1::DeviceShare) -> Self {
        Self { index: share.index, milli: share.milli }
    }
}
