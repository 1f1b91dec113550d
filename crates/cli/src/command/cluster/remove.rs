use clap::Args;
use gantry_proto::v1;

use super::{membership_json, membership_text};
use crate::context::{Context, Outcome};

/// Remove a member; its id must not be used again
#[derive(Debug, Args)]
pub struct Remove {
    id: u64,
}

impl Remove {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.remove(v1::RemoveRequest { id: self.id, why: String::new() }).await?;
        context.output.answer(&membership_json(&answer), || membership_text(&answer))
    }
}
