use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    command::host_state,
    context::{Context, Outcome},
    failure::Failure,
    json,
    table::Table,
    unit::{bytes, cpu, gpu, label},
};

/// Show one host
#[derive(Debug, Args)]
pub struct Show {
    name: String,
}

impl Show {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.get_host(v1::GetHostRequest { name: self.name }).await?;
        let host = answer.host.ok_or_else(|| Failure::internal("the answer holds no host"))?;
        context.output.answer(&json!({ "rev": answer.rev, "host": json::host(&host) }), || text(&host))
    }
}

fn text(host: &v1::Host) -> String {
    let spec = host.spec.clone().unwrap_or_default();
    let overcommit = if spec.cpu_overcommit_percent == 0 { 100 } else { spec.cpu_overcommit_percent };
    let mut table = Table::new(["WHAT", ">FREE", ">ALL"]);
    let mut line = |what: &str, free: String, all: String| table.row([what.to_owned(), free, all]);
    let shared = spec.cpu_shared_milli.saturating_mul(overcommit.into()) / 100;
    line("shared CPU", cpu::format(host.free_cpu_shared_milli), cpu::format(shared));
    line("performance CPU", cpu::format(host.free_cpu_performance_milli), cpu::format(spec.cpu_performance_milli));
    line("memory", bytes::format(host.free_memory_bytes), bytes::format(spec.memory_bytes));
    line("volume disk", bytes::format(host.free_volume_bytes), bytes::format(spec.volume_bytes));
    for device in &spec.devices {
        let free = host.free_devices.iter().find(|share| share.index == device.index);
        let free = gpu::format_milli(free.map_or(0, |share| share.milli.into()));
        line(&gpu_line(device), free, "1".to_owned());
    }
    format!(
        "{} is host {} in {}, zone {}: {}\nlabels {}; {} reservations, {} volumes, {} layers of {}\n{}\n\n{}",
        spec.name,
        host.id,
        spec.region,
        spec.zone,
        host_state(host),
        if spec.labels.is_empty() { "none".to_owned() } else { label::format(&spec.labels) },
        host.reservations,
        host.volumes,
        host.layers,
        bytes::format(host.layer_bytes),
        rates_line(&host.rates.unwrap_or_default()),
        table.render()
    )
}

/// `fetches 70.6 MiB/s a layer, 235.6 MiB/s together; unpacks 69.6 MiB/s (not measured: as published)`.
fn rates_line(rates: &v1::HostRates) -> String {
    let rate = |bytes_per_s: u64| format!("{}/s", bytes::format(bytes_per_s));
    let measured = [rates.stream_measured, rates.link_measured, rates.unpack_measured];
    let source = match measured.iter().filter(|is_measured| **is_measured).count() {
        0 => "not measured: as published",
        3 => "measured",
        _ => "measured in part",
    };
    format!(
        "fetches {} a layer, {} together; unpacks {} ({source})",
        rate(rates.stream_bytes_per_s),
        rate(rates.link_bytes_per_s),
        rate(rates.unpack_bytes_per_s)
    )
}

/// `GPU 3 (H100), NVLink group 1`; of a slice, `GPU 10 (H100.1g.10gb), of GPU 2`.
fn gpu_line(device: &v1::Device) -> String {
    let mut line = format!("GPU {} ({})", device.index, device.kind);
    if let Some(parent) = device.parent {
        line += &format!(", of GPU {parent}");
    }
    if device.nvlink_group != 0 {
        line += &format!(", NVLink group {}", device.nvlink_group);
    }
    line
}
