use std::{collections::BTreeMap, io::IsTerminal};

use clap::Args;
use gantry_proto::v1::{self, FetchState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use tonic::Streaming;

use crate::{
    context::{Context, Outcome},
    exit::Exit,
    failure::Failure,
    json,
    table::Table,
    unit::{bytes, duration},
};

/// Bars that are drawn one below the other; of more hosts only the sum is shown.
const BARS: usize = 24;

/// Have hosts fetch and unpack an image before a machine needs it
///
/// Chooses hosts that take machines, those first that have the most of it, so that asking again changes nothing. Ends when
/// the layers are there. Ctrl-C cancels what is still under way.
#[derive(Debug, Args)]
pub struct Warm {
    #[arg(value_name = "REFERENCE")]
    reference: String,

    /// On hosts of these regions, or of those that an alias stands for; without it of all
    #[arg(long = "region", value_name = "REGION", value_delimiter = ',')]
    regions: Vec<String>,

    /// On so many hosts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    hosts: u32,

    /// Only so many layers, from the base on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    base_layers: Option<u32>,

    /// Fetch the layers and leave them packed
    #[arg(long)]
    only_fetch: bool,

    /// Keep them from garbage collection for so long
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::parse_ms)]
    keep: u64,

    /// Bytes a second that each host may fetch; without it what its agent's config says
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    bytes_per_s: Option<u64>,
}

impl Warm {
    pub async fn run(self, context: Context) -> Outcome {
        let request = v1::WarmImageRequest {
            reference: self.reference,
            regions: self.regions,
            hosts: self.hosts,
            base_layers: self.base_layers.unwrap_or_default(),
            only_fetch: self.only_fetch,
            keep_ms: self.keep,
            bytes_per_s: self.bytes_per_s.unwrap_or_default(),
        };
        let reference = request.reference.clone();
        let news = context.client.warm_image(request).await?;
        let hosts = follow(news, Bars::new(context.output.is_json())).await?;
        let hosts: Vec<v1::HostFetch> = hosts.into_values().collect();
        let ready = hosts.iter().filter(|host| host.state() == FetchState::Ready).count();
        let value = json!({
            "image": reference,
            "ready": ready,
            "failed": hosts.len() - ready,
            "hosts": json::list(&hosts, json::host_fetch),
        });
        context.output.answer(&value, || text(&reference, &hosts, ready))?;
        Ok(if ready == hosts.len() { Exit::Ok } else { Exit::Refused })
    }
}

/// How far every host came, by its name.
async fn follow(
    mut news: Streaming<v1::WarmImageResponse>,
    mut bars: Bars,
) -> Result<BTreeMap<String, v1::HostFetch>, Failure> {
    let mut hosts: BTreeMap<String, v1::HostFetch> = BTreeMap::new();
    loop {
        match news.message().await {
            Ok(Some(response)) => {
                for host in response.hosts {
                    hosts.insert(host.host.clone(), host);
                }
                bars.show(&hosts);
            }
            Ok(None) => {
                bars.end();
                return Ok(hosts);
            }
            Err(status) => {
                bars.end();
                let why = format!("the connection broke while hosts were fetching: {}", status.message());
                let hint = "run it again: what is there by then counts, and what is under way is joined";
                return Err(Failure::new(Exit::Unknown, why).hint(hint));
            }
        }
    }
}

fn text(reference: &str, hosts: &[v1::HostFetch], ready: usize) -> String {
    let mut table = Table::new(["HOST", "STATE", ">PRESENT", ">OF", "WHY"]);
    for host in hosts {
        table.row([
            host.host.clone(),
            word(host.state()).to_owned(),
            bytes::format(host.present_bytes),
            bytes::format(host.total_bytes),
            host.reason.clone(),
        ]);
    }
    format!("{}\n{reference} is warm on {ready} of {} hosts", table.render(), hosts.len())
}

pub fn word(state: FetchState) -> &'static str {
    match state {
        FetchState::Unspecified | FetchState::Waiting => "waiting",
        FetchState::Fetching => "fetching",
        FetchState::Unpacking => "unpacking",
        FetchState::Ready => "ready",
        FetchState::Failed => "failed",
        FetchState::Cancelled => "cancelled",
    }
}

/// A bar a host on standard error, where somebody sees it; of many hosts, one for all.
struct Bars {
    all: Option<MultiProgress>,
    by_host: BTreeMap<String, ProgressBar>,
    sum: Option<ProgressBar>,
}

impl Bars {
    fn new(is_json: bool) -> Self {
        let is_seen = !is_json && std::io::stderr().is_terminal();
        Self { all: is_seen.then(MultiProgress::new), by_host: BTreeMap::new(), sum: None }
    }

    fn show(&mut self, hosts: &BTreeMap<String, v1::HostFetch>) {
        let Some(all) = &self.all else { return };
        if hosts.len() > BARS {
            let sum = self.sum.get_or_insert_with(|| all.add(bar()));
            let ready = hosts.values().filter(|host| host.state() == FetchState::Ready).count();
            sum.set_length(hosts.values().map(|host| host.total_bytes).sum());
            sum.set_position(hosts.values().map(|host| host.present_bytes).sum());
            sum.set_prefix(format!("{} hosts", hosts.len()));
            sum.set_message(format!("{ready} ready"));
            return;
        }
        for (name, host) in hosts {
            let bar = self.by_host.entry(name.clone()).or_insert_with(|| all.add(bar()));
            bar.set_length(host.total_bytes);
            bar.set_position(host.present_bytes);
            bar.set_prefix(name.clone());
            bar.set_message(word(host.state()));
        }
    }

    /// What they showed is in the table that follows.
    fn end(&self) {
        if let Some(all) = &self.all {
            // A terminal that is gone shows nothing anyway.
            let _ = all.clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "  {prefix:<24} {bar:36.cyan/238} {binary_bytes:>11}/{binary_total_bytes:<11} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━━╌"));
    }
    bar
}
