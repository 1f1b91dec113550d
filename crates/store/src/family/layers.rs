//! The layers that lie on a host. Key: the host's number, 4 bytes big-endian. Value: `LayersRow`.

use gantry_fleet::{LayersRow, Row};
use gantry_types::HostId;
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family =
    Family { name: "layers", tag: 5, decode: |bytes| LayersRow::decode(bytes).map(Row::Layers) };

pub(super) fn key(host: HostId) -> [u8; 4] {
    host.to_be_bytes()
}
