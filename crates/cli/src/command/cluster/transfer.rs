use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::context::{Context, Outcome};

/// Hand the leadership to another voter
#[derive(Debug, Args)]
pub struct Transfer {
    /// The new leader [default: the voter that is furthest ahead]
    #[arg(long, value_name = "ID")]
    to: Option<u64>,
}

impl Transfer {
    pub async fn run(self, context: Context) -> Outcome {
        let request = v1::TransferLeaderRequest { to: self.to.unwrap_or_default() };
        let answer = context.client.transfer_leader(request).await?;
        let value = json!({ "leader": answer.leader });
        context.output.answer(&value, || format!("node {} leads", answer.leader))
    }
}
