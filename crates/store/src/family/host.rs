//! Hosts, and removed hosts that an answer may still name. Key: number, 4 bytes big-endian. Value: `HostRow`.

use gantry_fleet::{HostRow, Row};
use gantry_types::HostId;
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family =
    Family { name: "host", tag: 4, decode: |bytes| HostRow::decode(bytes).map(Row::Host) };

pub(super) fn key(host: HostId) -> [u8; 4] {
    host.to_be_bytes()
}
