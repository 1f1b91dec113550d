//! Commands on the members of the cluster.

mod add_learner;
mod feature_level;
mod init;
mod join;
mod move_member;
mod promote;
mod remove;
mod replace;
mod rolling_restart;
mod status;
mod token;
mod transfer;
mod verify;

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
    Token(token::MakeToken),
    AddLearner(add_learner::AddLearner),
    Promote(promote::Promote),
    Remove(remove::Remove),
    Replace(replace::Replace),
    #[command(name = "move")]
    MoveMember(move_member::MoveMember),
    Transfer(transfer::Transfer),
    RollingRestart(rolling_restart::RollingRestart),
    FeatureLevel(feature_level::FeatureLevel),
    Verify(verify::Verify),
}

impl Cluster {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Status(command) => command.run(context).await,
            Self::Init(command) => command.run(context).await,
            Self::Join(command) => command.run(context).await,
            Self::Token(command) => command.run(context).await,
            Self::AddLearner(command) => command.run(context).await,
            Self::Promote(command) => command.run(context).await,
            Self::Remove(command) => command.run(context).await,
            Self::Replace(command) => command.run(context).await,
            Self::MoveMember(command) => command.run(context).await,
            Self::Transfer(command) => command.run(context).await,
            Self::RollingRestart(command) => command.run(context).await,
            Self::FeatureLevel(command) => command.run(context).await,
            Self::Verify(command) => command.run(context).await,
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
