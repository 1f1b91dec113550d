use std::time::Duration;

use clap::Args;
use gantry_client::Retry;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    unit::duration,
};

/// Make the node at --addr join a cluster: it catches up and becomes a voter
#[derive(Debug, Args)]
pub struct Join {
    /// Client address of any member
    #[arg(long, value_name = "HOST:PORT")]
    seed: String,

    /// How long it may take to catch up
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    within: Duration,
}

impl Join {
    pub async fn run(self, context: Context) -> Outcome {
        let retry = Retry { deadline: self.within, ..context.client.retry() };
        let client = context.client.clone().with_retry(retry);
        let answer = client.join(context.node()?, v1::JoinRequest { seed: self.seed }).await?;
        context.output.answer(&json!({ "rev": answer.rev }), || "the node is a voter of the cluster".to_owned())
    }
}
