use gantry_proto::v1;
use serde_json::{Value, json};

use super::{
    list,
    shape::{device, shape},
};
use crate::command::phase;

pub fn reservation(reservation: &v1::Reservation) -> Value {
    json!({
        "id": reservation.id,
        "fence": reservation.fence,
        "app": reservation.app,
        "image": reservation.image,
        "shape": reservation.shape.as_ref().map(shape),
        "host_id": reservation.host_id,
        "host": reservation.host,
        "region": reservation.region,
        "zone": reservation.zone,
        "devices": list(&reservation.devices, device),
        "volume_id": reservation.volume_id,
        "phase": phase(reservation),
        "lease_ms": reservation.lease_ms,
        "expires_at_ms": reservation.expires_at_ms,
        "created_at_ms": reservation.created_at_ms,
        "rev": reservation.rev,
        "request_id": reservation.request_id,
        "group": reservation.group,
    })
}
