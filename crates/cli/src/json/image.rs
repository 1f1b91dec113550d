use gantry_proto::v1;
use serde_json::{Value, json};

use crate::command::fetch_state;

pub fn image_summary(image: &v1::ImageSummary) -> Value {
    json!({
        "reference": image.reference,
        "digest": image.digest,
        "platform": image.platform,
        "layers": image.layers,
        "size_bytes": image.size_bytes,
        "hosts_complete": image.hosts_complete,
        "hosts_partial": image.hosts_partial,
    })
}

pub fn layer_shown(shown: &v1::LayerShown) -> Value {
    let layer = shown.layer.clone().unwrap_or_default();
    json!({
        "digest": layer.digest,
        "diff_id": layer.diff_id,
        "size_bytes": layer.size_bytes,
        "unpacked": shown.unpacked,
        "blob": shown.blob,
        "pulling": shown.pulling,
        "hosts": shown.hosts,
    })
}

pub fn ready_host(host: &v1::ReadyHost) -> Value {
    json!({
        "host": host.host,
        "region": host.region,
        "zone": host.zone,
        "present_bytes": host.present_bytes,
        "ready_ms": host.ready_ms,
    })
}

pub fn host_fetch(host: &v1::HostFetch) -> Value {
    json!({
        "host": host.host,
        "state": fetch_state(host.state()),
        "present_bytes": host.present_bytes,
        "total_bytes": host.total_bytes,
        "reason": host.reason,
    })
}
