use clap::Args;
use gantry_proto::v1;

use super::{membership_json, membership_text};
use crate::{
    arg::member,
    context::{Context, Outcome},
};

/// Add a running node as a learner: it gets all data and has no vote
#[derive(Debug, Args)]
pub struct AddLearner {
    #[arg(value_name = "ID=RAFT_ADDR,CLIENT_ADDR", value_parser = member::parse)]
    member: v1::Member,
}

impl AddLearner {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.add_learner(v1::AddLearnerRequest { member: Some(self.member) }).await?;
        context.output.answer(&membership_json(&answer), || membership_text(&answer))
    }
}
