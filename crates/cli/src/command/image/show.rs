use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use super::ls::DIGEST;
use crate::{
    context::{Context, Outcome},
    json,
    table::Table,
    unit::{bytes, duration},
};

/// See an image's layers, who has them, and where it would be ready first
///
/// One that nobody has recorded is looked up in its registry, where the servers are told to look there.
#[derive(Debug, Args)]
pub struct Show {
    #[arg(value_name = "REFERENCE")]
    reference: String,

    /// How many hosts to name for each layer, and of those where it would be ready first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    top: u32,
}

impl Show {
    pub async fn run(self, context: Context) -> Outcome {
        let request = v1::ShowImageRequest { reference: self.reference, top: self.top };
        let shown = context.client.show_image(request).await?;
        let value = json!({
            "rev": shown.rev,
            "image": shown.image.as_ref().map(json::image_summary),
            "layers": json::list(&shown.layers, json::layer_shown),
            "ready": json::list(&shown.ready, json::ready_host),
        });
        context.output.answer(&value, || text(&shown))
    }
}

fn text(shown: &v1::ShowImageResponse) -> String {
    let image = shown.image.clone().unwrap_or_default();
    let mut text = format!(
        "{} {}, {} in {} layers: {} hosts have all of them, {} have some\n\n",
        image.reference,
        image.platform,
        bytes::format(image.size_bytes),
        image.layers,
        image.hosts_complete,
        image.hosts_partial,
    );
    let mut layers = Table::new(["LAYER", ">SIZE", ">UNPACKED", ">FETCHED", ">PULLING", "ON"]);
    for shown in &shown.layers {
        let layer = shown.layer.clone().unwrap_or_default();
        let hosts = shown.unpacked + shown.blob + shown.pulling;
        let more = if hosts as usize > shown.hosts.len() { ", .." } else { "" };
        layers.row([
            layer.digest.chars().take(DIGEST).collect(),
            bytes::format(layer.size_bytes),
            shown.unpacked.to_string(),
            shown.blob.to_string(),
            shown.pulling.to_string(),
            format!("{}{more}", shown.hosts.join(", ")),
        ]);
    }
    text += &layers.render();
    if shown.ready.is_empty() {
        return text + "\nno host takes machines now\n";
    }
    let mut ready = Table::new(["HOST", "REGION", "ZONE", ">PRESENT", ">READY IN"]);
    for host in &shown.ready {
        ready.row([
            host.host.clone(),
            host.region.clone(),
            host.zone.clone(),
            bytes::format(host.present_bytes),
            duration::format_ms(host.ready_ms),
        ]);
    }
    text + &format!("\n{}", ready.render())
}
