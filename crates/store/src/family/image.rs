//! Images by reference. Key: the reference as it is, to the end of the key. Value: `Image`.

use std::sync::Arc;

use gantry_fleet::Row;
use gantry_types::Image;
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family =
    Family { name: "image", tag: 3, decode: |bytes| Image::decode(bytes).map(|image| Row::Image(Arc::new(image))) };

pub(super) fn key(reference: &str) -> &[u8] {
    reference.as_bytes()
}
