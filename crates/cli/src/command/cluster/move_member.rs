use clap::Args;
use gantry_proto::v1;

use super::{membership_json, membership_text};
use crate::{
    arg::member,
    context::{Context, Outcome},
};

/// Tell the cluster that a member is reached at other addresses from now on
///
/// Stop the member, change the addresses in its config, start it, and then give this command. The member must answer at its
/// new address with its own id. Move one member at a time.
#[derive(Debug, Args)]
pub struct MoveMember {
    #[arg(value_name = "ID=RAFT_ADDR,CLIENT_ADDR", value_parser = member::parse)]
    member: v1::Member,
}

impl MoveMember {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.move_member(v1::MoveMemberRequest { member: Some(self.member) }).await?;
        context.output.answer(&membership_json(&answer), || membership_text(&answer))
    }
}
