use clap::Args;
use gantry_proto::v1;

use super::{membership_json, membership_text};
use crate::context::{Context, Outcome};

/// Put a learner in the place of a voter, which is removed, in one step
///
/// For a voter that will not come back. A new machine does all of it at its start: `gantry server --join ADDRESS --replace ID`.
#[derive(Debug, Args)]
pub struct Replace {
    /// The voter to remove
    old: u64,

    /// The learner that takes its place
    new: u64,
}

impl Replace {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.replace(v1::ReplaceRequest { old: self.old, new: self.new }).await?;
        context.output.answer(&membership_json(&answer), || membership_text(&answer))
    }
}
