use gantry_proto::v1;
use serde_json::{Value, json};

use super::{
    list,
    shape::{device, shape},
};

pub fn volume(volume: &v1::Volume) -> Value {
    json!({
        "id": volume.id,
        "app": volume.app,
        "name": volume.name,
        "host_id": volume.host_id,
        "host": volume.host,
        "region": volume.region,
        "zone": volume.zone,
        "size_bytes": volume.size_bytes,
        "created_at_ms": volume.created_at_ms,
        "rev": volume.rev,
        "used_by": volume.used_by,
        "hold": volume.hold.as_ref().map(hold),
        "forked_from": volume.forked_from,
    })
}

fn hold(hold: &v1::VolumeHold) -> Value {
    json!({
        "until_ms": hold.until_ms,
        "shape": hold.shape.as_ref().map(shape),
        "devices": list(&hold.devices, device),
        "image": hold.image,
    })
}
