use gantry_proto::v1;
use serde_json::{Value, json};

use crate::command::preset;

pub fn policy(policy: &v1::Policy) -> Value {
    json!({
        "preset": preset(policy),
        "ready_milli": policy.ready_milli,
        "stranded_milli": policy.stranded_milli,
        "share_milli": policy.share_milli,
        "spread_milli": policy.spread_milli,
    })
}
