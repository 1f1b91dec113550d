use gantry_proto::v1::{self, event::Event};
use serde_json::{Value, json};

use super::{reservation, volume};
use crate::command::end_reason;

/// One event; `what` says which of the other fields are there.
pub fn event(event: &v1::Event) -> Value {
    let mut value = match &event.event {
        Some(Event::Reserved(it)) => json!({ "what": "reserved", "reservation": reservation(it) }),
        Some(Event::Confirmed(it)) => json!({ "what": "confirmed", "reservation": reservation(it) }),
        Some(Event::Renewed(it)) => json!({ "what": "renewed", "reservation": reservation(it) }),
        Some(Event::Ended(it)) => json!({
            "what": "ended",
            "reason": end_reason(it),
            "detail": it.detail,
            "reservation": it.reservation.as_ref().map(reservation),
        }),
        Some(Event::VolumeCreated(it)) => json!({ "what": "volume_created", "volume": volume(it) }),
        Some(Event::VolumeDeleted(it)) => json!({ "what": "volume_deleted", "volume": volume(it) }),
        Some(Event::VolumeHoldExpired(it)) => json!({ "what": "volume_hold_expired", "volume": volume(it) }),
        Some(Event::Host(it)) => json!({ "what": format!("host_{}", it.what), "host_id": it.id, "host": it.name }),
        Some(Event::ImageRecorded(reference)) => json!({ "what": "image_recorded", "image": reference }),
        Some(Event::FeatureLevel(level)) => json!({ "what": "feature_level", "level": level }),
        None => json!({ "what": "unknown" }),
    };
    value["rev"] = event.rev.into();
    value["stamp_ms"] = event.stamp_ms.into();
    value
}
