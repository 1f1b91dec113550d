//! Remembered requests, in the order they were answered in. Key: sequence number, 8 bytes big-endian. Value: `RequestRow`.

use gantry_fleet::{RequestRow, Row};
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family =
    Family { name: "request", tag: 8, decode: |bytes| RequestRow::decode(bytes).map(Row::Request) };

pub(super) fn key(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}
