use gantry_proto::v1;
use serde_json::{Value, json};

use super::{list, object, shape::device};
use crate::command::scheduling;

pub fn host(host: &v1::Host) -> Value {
    json!({
        "id": host.id,
        "spec": host.spec.as_ref().map(spec),
        "scheduling": scheduling(host),
        "unreachable": host.unreachable,
        "free_cpu_shared_milli": host.free_cpu_shared_milli,
        "free_cpu_performance_milli": host.free_cpu_performance_milli,
        "free_memory_bytes": host.free_memory_bytes,
        "free_volume_bytes": host.free_volume_bytes,
        "free_devices": list(&host.free_devices, device),
        "reservations": host.reservations,
        "volumes": host.volumes,
        "layers": host.layers,
        "layer_bytes": host.layer_bytes,
        "rates": host.rates.as_ref().map(rates),
    })
}

fn rates(rates: &v1::HostRates) -> Value {
    json!({
        "stream_bytes_per_s": rates.stream_bytes_per_s,
        "link_bytes_per_s": rates.link_bytes_per_s,
        "unpack_bytes_per_s": rates.unpack_bytes_per_s,
        "stream_measured": rates.stream_measured,
        "link_measured": rates.link_measured,
        "unpack_measured": rates.unpack_measured,
    })
}

fn spec(spec: &v1::HostSpec) -> Value {
    json!({
        "name": spec.name,
        "region": spec.region,
        "zone": spec.zone,
        "labels": object(spec.labels.iter().map(|label| (label.key.clone(), label.value.clone().into()))),
        "cpu_shared_milli": spec.cpu_shared_milli,
        "cpu_overcommit_percent": spec.cpu_overcommit_percent,
        "cpu_performance_milli": spec.cpu_performance_milli,
        "memory_bytes": spec.memory_bytes,
        "volume_bytes": spec.volume_bytes,
        "cache_bytes": spec.cache_bytes,
        "devices": list(&spec.devices, |device| {
            json!({
                "index": device.index,
                "kind": device.kind,
                "memory_bytes": device.memory_bytes,
                "parent": device.parent,
                "nvlink_group": device.nvlink_group,
            })
        }),
    })
}
