use gantry_proto::v1;
use serde_json::{Value, json};

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
