//! The table of layers. Key: number, 4 bytes big-endian. Value: `LayerRow`.

use gantry_fleet::{LayerRow, Row};
use gantry_types::LayerId;
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family =
    Family { name: "layer", tag: 2, decode: |bytes| LayerRow::decode(bytes).map(Row::Layer) };

pub(super) fn key(layer: LayerId) -> [u8; 4] {
    layer.to_be_bytes()
}
