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
///
/// A new machine needs no more than this: `gantry server --config server.toml --join ADDRESS-OR-TOKEN`, which also gives it
/// its node id. This command is for a server that runs already, and is no member yet.
#[derive(Debug, Args)]
pub struct Join {
    /// Client address of any member, or a token from `gantry cluster token`
    #[arg(value_name = "HOST:PORT|TOKEN")]
    to: String,

    /// Take the place of this voter, such as one that lost its disk, and remove that
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    replace: u64,

    /// How long it may take to catch up
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    within: Duration,
}

impl Join {
    pub async fn run(self, context: Context) -> Outcome {
        let retry = Retry { deadline: self.within, ..context.client.retry() };
        let client = context.client.clone().with_retry(retry);
        let request = v1::JoinRequest { seed: self.to, replaces: self.replace };
        let answer = client.join(context.node()?, request).await?;
        context.output.answer(&json!({ "rev": answer.rev }), || "the node is a voter of the cluster".to_owned())
    }
}
