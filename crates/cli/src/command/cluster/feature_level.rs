use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::context::{Context, Outcome};

/// Switch on what newer versions can do, once every node runs one; the level only grows
#[derive(Debug, Args)]
pub struct FeatureLevel {
    level: u32,
}

impl FeatureLevel {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.set_feature_level(v1::SetFeatureLevelRequest { level: self.level }).await?;
        let value = json!({ "rev": answer.rev, "feature_level": self.level });
        context.output.answer(&value, || format!("feature level {} is on", self.level))
    }
}
