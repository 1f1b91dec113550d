use gantry_proto::v1;
use serde_json::{Value, json};

use super::{list, object, shape::device};

pub fn rejections(rejections: &[v1::Rejection]) -> Value {
    list(rejections, |rejection| {
        json!({
            "constraint": rejection.constraint,
            "hosts": rejection.hosts,
            "want": rejection.want,
            "have": rejection.have,
        })
    })
}

pub fn choice(choice: &v1::Choice) -> Value {
    json!({
        "terms": terms(&choice.terms),
        "image_bytes": choice.image_bytes,
        "present_bytes": choice.present_bytes,
        "image_known": choice.image_known,
        "ready_ms": choice.ready_ms,
    })
}

pub fn ranked_host(host: &v1::RankedHost) -> Value {
    json!({
        "host": host.host,
        "region": host.region,
        "zone": host.zone,
        "terms": terms(&host.terms),
        "present_bytes": host.present_bytes,
        "ready_ms": host.ready_ms,
        "devices": list(&host.devices, device),
    })
}

fn terms(terms: &[v1::ScoreTerm]) -> Value {
    object(terms.iter().map(|term| (term.name.clone(), term.value.into())))
}
