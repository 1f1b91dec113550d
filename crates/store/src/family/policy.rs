//! Policies of apps that do not go by the default. Key: the app as it is, to the end of the key. Value: `AppPolicy`.

use std::sync::Arc;

use gantry_fleet::Row;
use gantry_types::AppPolicy;
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "policy",
    tag: 13,
    decode: |bytes| AppPolicy::decode(bytes).map(|policy| Row::Policy(Arc::new(policy))),
};

pub(super) fn key(app: &str) -> &[u8] {
    app.as_bytes()
}
