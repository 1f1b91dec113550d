//! The counters of the state. Key: nothing, there is one row. Value: `MetaRow`.

use gantry_fleet::{MetaRow, Row};
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family =
    Family { name: "meta", tag: 1, decode: |bytes| MetaRow::decode(bytes).map(Row::Meta) };
