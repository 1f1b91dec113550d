use gantry_proto::v1;
use serde_json::{Value, json};

pub(super) fn shape(shape: &v1::Shape) -> Value {
    json!({
        "cpu_kind": if shape.cpu_kind() == v1::CpuKind::Performance { "performance" } else { "shared" },
        "cpu_milli": shape.cpu_milli,
        "memory_bytes": shape.memory_bytes,
        "gpu": shape.gpu.as_ref().map(|gpu| json!({
            "kinds": gpu.kinds,
            "count": gpu.count,
            "milli": gpu.milli,
            "same_nvlink_group": gpu.same_nvlink_group,
        })),
    })
}

pub(super) fn device(share: &v1::DeviceShare) -> Value {
    json!({ "index": share.index, "milli": share.milli })
}
