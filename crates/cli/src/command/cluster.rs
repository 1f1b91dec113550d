//! Commands on the members of the cluster.

mod add_learner;
mod feature_level;
mod init;
mod join;
mod promote;
mod remove;
mod status;
mod transfer;

use clap::Subcommand;
use gantry_proto::v1;
use serde_json::{Value, json};

use crate::{
    context::{Context, Outcome},
    json,
    table::Table,
};

/// See and change the members of the cluster
#[derive(Debug, Subcommand)]
pub enum Cluster {
    Status(status::Status),
    Init(init::Init),
    Join(join::Join),
    AddLearner(add_learner::AddLearner),
    Promote(promote::Promote),
    Remove(remove::Remove),
    Transfer(transfer::Transfer),
    FeatureLevel(feature_level::FeatureLevel),
}

impl Cluster {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Status(command) => command.run(context).await,
            Self::Init(command) => command.run(context).await,
            Self::Join(command) => command.run(context).await,
            Self::AddLearner(command) => command.run(context).await,
            Self::Promote(command) => command.run(context).await,
            Self::Remove(command) => command.run(context).await,
            Self::Transfer(command) => command.run(context).await,
            Self::FeatureLevel(command) => command.run(context).await,
        }
    }
}

fn membership_json(answer: &v1::MembershipResponse) -> Value {
    json!({ "rev": answer.rev, "members": json::list(&answer.members, json::member) })
}

fn membership_text(answer: &v1::MembershipResponse) -> String {
    let mut table = Table::new([">ID", "KIND", "CLIENT ADDRESS", "RAFT ADDRESS"]);
    for member in &answer.members {
        table.row([
            member.id.to_string(),
            if member.voter { "voter" } else { "learner" }.to_owned(),
            member.client_addr.clone(),
            member.raft_addr.clone(),
        ]);
    }
    table.render()
}
