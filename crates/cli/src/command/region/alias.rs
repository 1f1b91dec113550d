use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::context::{Context, Outcome};

/// Let a name stand for a list of regions in `--region`
#[derive(Debug, Args)]
pub struct Alias {
    name: String,

    /// Regions, the most wanted first
    #[arg(value_name = "REGION", required_unless_present = "remove", conflicts_with = "remove")]
    regions: Vec<String>,

    /// Let the name stand for nothing
    #[arg(long)]
    remove: bool,
}

impl Alias {
    pub async fn run(self, context: Context) -> Outcome {
        let Self { name, regions, remove } = self;
        let request = v1::SetRegionAliasRequest { name: name.clone(), regions: regions.clone() };
        let answer = context.client.set_region_alias(request).await?;
        let value = json!({ "rev": answer.rev, "name": name, "stands_for": regions });
        context.output.answer(&value, || match remove {
            true => format!("{name} stands for no regions"),
            false => format!("{name} stands for {}", regions.join(", ")),
        })
    }
}
