use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    json,
};

/// Show how machines of an app are ranked
#[derive(Debug, Args)]
pub struct Show {
    app: String,
}

impl Show {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.get_policy(v1::GetPolicyRequest { app: self.app.clone() }).await?;
        let policy = answer.policy.unwrap_or_default();
        let value = json!({ "rev": answer.rev, "app": self.app, "policy": json::policy(&policy) });
        context.output.answer(&value, || format!("app {} goes by {}", self.app, super::format(&policy)))
    }
}
