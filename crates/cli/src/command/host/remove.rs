use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::context::{Context, Outcome};

/// Remove a host that holds nothing
#[derive(Debug, Args)]
pub struct Remove {
    name: String,
}

impl Remove {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.remove_host(v1::RemoveHostRequest { name: self.name.clone() }).await?;
        let value = json!({ "rev": answer.rev, "host": self.name });
        context.output.answer(&value, || format!("host {} is removed", self.name))
    }
}
