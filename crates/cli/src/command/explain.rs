use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    arg::placement::PlacementArgs,
    context::{Context, Outcome},
    json,
    table::Table,
    unit::{bytes, gpu},
};

/// Rank the hosts for a machine without placing anything
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    placement: PlacementArgs,

    /// How many of the best hosts to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: u32,
}

impl Explain {
    pub async fn run(self, context: Context) -> Outcome {
        let placement = v1::PlaceRequest::from(self.placement);
        let image = placement.image.clone();
        let request = v1::ExplainRequest { request: Some(placement), top: self.top };
        let answer = context.client.explain(request).await?;
        let value = json!({
            "rev": answer.rev,
            "feasible": answer.feasible,
            "hosts": json::list(&answer.hosts, json::ranked_host),
            "rejections": json::rejections(&answer.rejections),
            "image_bytes": answer.image_bytes,
            "image_known": answer.image_known,
        });
        context.output.answer(&value, || text(&answer, &image))
    }
}

fn text(answer: &v1::ExplainResponse, image: &str) -> String {
    let image = match (image, answer.image_known) {
        ("", _) => "no image is named".to_owned(),
        (image, true) => format!("{image} has {}", bytes::format(answer.image_bytes)),
        (image, false) => format!("{image} is not recorded and plays no part"),
    };
    let mut text = format!("{} hosts can take it, at rev {}; {image}\n", answer.feasible, answer.rev);
    if let Some(best) = answer.hosts.first() {
        let fixed = [">RANK", "HOST", "REGION", "ZONE", "GPU", ">PRESENT"].map(str::to_owned);
        let terms = best.terms.iter().map(|term| format!(">{}", term.name.to_uppercase()));
        let mut table = Table::new(fixed.into_iter().chain(terms));
        for (at, host) in answer.hosts.iter().enumerate() {
            let fixed = [
                (at + 1).to_string(),
                host.host.clone(),
                host.region.clone(),
                host.zone.clone(),
                gpu::format_devices(&host.devices),
                bytes::format(host.present_bytes),
            ];
            table.row(fixed.into_iter().chain(host.terms.iter().map(|term| term.value.to_string())));
        }
        text += &format!("\n{}", table.render());
    }
    if !answer.rejections.is_empty() {
        text += &format!("\n{}", rejections_table(&answer.rejections));
    }
    text
}

/// Which constraint refused how many hosts.
pub(super) fn rejections_table(rejections: &[v1::Rejection]) -> String {
    let mut table = Table::new([">HOSTS", "REFUSED BY", "WANT", "HAVE"]);
    for rejection in rejections {
        table.row([
            rejection.hosts.to_string(),
            rejection.constraint.clone(),
            rejection.want.clone(),
            rejection.have.clone(),
        ]);
    }
    table.render()
}
