use std::collections::BTreeMap;

use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    command::host_state,
    context::{Context, Outcome},
    json,
    table::Table,
    unit::{bytes, cpu, gpu},
};

/// List hosts with what they have free
#[derive(Debug, Args)]
pub struct Ls {
    /// Only of this region
    #[arg(long, default_value = "")]
    region: String,
}

impl Ls {
    pub async fn run(self, context: Context) -> Outcome {
        let mut request = v1::ListHostsRequest { region: self.region, ..v1::ListHostsRequest::default() };
        let mut hosts = Vec::new();
        let rev = loop {
            let page = context.client.list_hosts(request.clone()).await?;
            hosts.extend(page.hosts);
            request.after_id = page.next_after_id;
            if request.after_id == 0 {
                break page.rev;
            }
        };
        let value = json!({ "rev": rev, "hosts": json::list(&hosts, json::host) });
        context.output.answer(&value, || text(&hosts))
    }
}

fn text(hosts: &[v1::Host]) -> String {
    let mut table = Table::new([
        "NAME",
        "REGION",
        "ZONE",
        "STATE",
        ">CPU FREE",
        ">MEMORY FREE",
        "GPU FREE",
        ">RESERVED",
        ">LAYERS",
        ">FETCH",
        ">UNPACK",
    ]);
    for host in hosts {
        let spec = host.spec.clone().unwrap_or_default();
        table.row([
            spec.name.clone(),
            spec.region.clone(),
            spec.zone.clone(),
            host_state(host),
            cpu::format(host.free_cpu_shared_milli + host.free_cpu_performance_milli),
            bytes::format(host.free_memory_bytes),
            gpus(host, &spec),
            host.reservations.to_string(),
            bytes::format(host.layer_bytes),
            measured(&host.rates, |rates| (rates.link_measured, rates.link_bytes_per_s)),
            measured(&host.rates, |rates| (rates.unpack_measured, rates.unpack_bytes_per_s)),
        ]);
    }
    table.render()
}

/// A rate that was measured: `235.6 MiB/s`.
fn measured(rates: &Option<v1::HostRates>, rate: impl Fn(&v1::HostRates) -> (bool, u64)) -> String {
    match rates.as_ref().map(rate) {
        Some((true, bytes_per_s)) => format!("{}/s", bytes::format(bytes_per_s)),
        _ => "-".to_owned(),
    }
}

/// Free and all GPUs by kind: `3.5 of 8 H100`.
pub(super) fn gpus(host: &v1::Host, spec: &v1::HostSpec) -> String {
    let mut kinds: BTreeMap<&str, (u64, u32)> = BTreeMap::new();
    for device in &spec.devices {
        let free = host.free_devices.iter().find(|share| share.index == device.index);
        let (free_milli, count) = kinds.entry(&device.kind).or_default();
        *free_milli += free.map_or(0, |share| u64::from(share.milli));
        *count += 1;
    }
    let one = |(kind, (free_milli, count))| format!("{} of {count} {kind}", gpu::format_milli(free_milli));
    kinds.into_iter().map(one).collect::<Vec<_>>().join(", ")
}
