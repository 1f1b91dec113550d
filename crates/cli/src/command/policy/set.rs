use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use super::Preset;
use crate::{
    context::{Context, Outcome},
    json,
};

/// Say how machines of an app are ranked, in place of what was said before
#[derive(Debug, Args)]
pub struct Set {
    app: String,

    /// Weights to begin with
    #[arg(long, value_name = "PRESET", default_value = "default")]
    preset: Preset,

    /// Weight of the time until the machine is ready, in thousandths of the default
    #[arg(long, value_name = "MILLI")]
    ready: Option<u32>,

    /// Weight of resources that nobody can use afterwards
    #[arg(long, value_name = "MILLI")]
    stranded: Option<u32>,

    /// Weight of what a fetched image is worth to the machines that come after
    #[arg(long, value_name = "MILLI")]
    share: Option<u32>,

    /// Weight of machines of the app that are on the host already
    #[arg(long, value_name = "MILLI")]
    spread: Option<u32>,
}

impl Set {
    pub async fn run(self, context: Context) -> Outcome {
        let policy = v1::Policy {
            preset: v1::Preset::from(self.preset) as i32,
            ready_milli: self.ready,
            stranded_milli: self.stranded,
            share_milli: self.share,
            spread_milli: self.spread,
        };
        let request = v1::SetPolicyRequest { app: self.app.clone(), policy: Some(policy) };
        let answer = context.client.set_policy(request).await?;
        let value = json!({ "rev": answer.rev, "app": self.app, "policy": json::policy(&policy) });
        context.output.answer(&value, || format!("app {} goes by {}", self.app, super::format(&policy)))
    }
}
