use gantry_proto::v1;
use serde_json::{Value, json};

use super::{choice, list, rejections, shape::device};

pub fn fits(fits: &v1::Fits) -> Value {
    json!({
        "machines": fits.machines,
        "hosts": fits.hosts,
        "at_least": fits.at_least,
        "regions": list(&fits.regions, |fits| {
            json!({ "region": fits.region, "machines": fits.machines, "hosts": fits.hosts })
        }),
    })
}

pub fn change(change: &v1::Change) -> Value {
    json!({
        "field": change.field,
        "from": change.from,
        "to": change.to,
        "hosts": change.hosts,
        "text": change.text,
    })
}

pub fn plan(plan: &v1::Plan) -> Value {
    json!({
        "machines": list(&plan.machines, |machine| {
            json!({
                "host": machine.host,
                "region": machine.region,
                "zone": machine.zone,
                "devices": list(&machine.devices, device),
                "choice": machine.choice.as_ref().map(choice),
            })
        }),
        "missing": plan.missing,
        "rejections": rejections(&plan.rejections),
    })
}
