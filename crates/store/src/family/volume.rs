//! Volumes. Key: number, 8 bytes big-endian. Value: `Volume`.

use std::sync::Arc;

use gantry_fleet::Row;
use gantry_types::{Volume, VolumeId};
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "volume",
    tag: 6,
    decode: |bytes| Volume::decode(bytes).map(|volume| Row::Volume(Arc::new(volume))),
};

pub(super) fn key(volume: VolumeId) -> [u8; 8] {
    volume.to_be_bytes()
}
