use gantry_proto::v1;
use serde_json::{Value, json};

pub fn region(region: &v1::Region) -> Value {
    json!({
        "name": region.name,
        "stands_for": region.stands_for,
        "hosts": region.hosts,
        "open_hosts": region.open_hosts,
    })
}
