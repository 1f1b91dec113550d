//! Names that stand for lists of regions. Key: the name as it is, to the end of the key. Value: `RegionAlias`.

use std::sync::Arc;

use gantry_fleet::Row;
use gantry_types::RegionAlias;
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "region alias",
    tag: 12,
    decode: |bytes| RegionAlias::decode(bytes).map(|alias| Row::RegionAlias(Arc::new(alias))),
};

pub(super) fn key(name: &str) -> &[u8] {
    name.as_bytes()
}
