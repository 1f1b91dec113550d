use clap::Args;
use gantry_proto::v1;

use super::{membership_json, membership_text};
use crate::context::{Context, Outcome};

/// Give a learner a vote
#[derive(Debug, Args)]
pub struct Promote {
    id: u64,
}

impl Promote {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.promote(v1::PromoteRequest { id: self.id }).await?;
        context.output.answer(&membership_json(&answer), || membership_text(&answer))
    }
}
