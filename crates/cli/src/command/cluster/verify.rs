use std::time::Duration;

use clap::Args;
use gantry_client::Retry;
use gantry_proto::v1::{MemberHash, VerifyResponse};
use serde_json::{Value, json};

use crate::{
    context::{Context, Outcome},
    exit::Exit,
    json,
    table::Table,
    unit::duration,
};

/// Compare the states of all members at one rev; one that differs from the majority stops
///
/// Exits with 5 where not all members are seen to hold the same.
#[derive(Debug, Args)]
pub struct Verify {
    /// How long it may take: a pass over the state of every member
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse)]
    within: Duration,
}

impl Verify {
    pub async fn run(self, context: Context) -> Outcome {
        let retry = Retry { deadline: self.within, attempt: self.within, ..context.client.retry() };
        let answer = context.client.clone().with_retry(retry).verify().await?;
        let value = json!({
            "rev": answer.rev,
            "agreed": answer.agreed,
            "members": json::list(&answer.members, member),
        });
        context.output.answer(&value, || text(&answer))?;
        let same = answer.members.iter().all(|member| !answer.agreed.is_empty() && member.hash == answer.agreed);
        Ok(if same { Exit::Ok } else { Exit::Refused })
    }
}

fn member(member: &MemberHash) -> Value {
    json!({
        "id": member.id,
        "voter": member.voter,
        "hash": member.hash,
        "failed": member.failed,
        "differs": member.differs,
    })
}

fn text(answer: &VerifyResponse) -> String {
    let mut table = Table::new([">ID", "KIND", "STATE HASH", "VERDICT"]);
    for member in &answer.members {
        let verdict = match member {
            MemberHash { differs: true, .. } => "differs: it was told to stop",
            MemberHash { failed, .. } if !failed.is_empty() => failed,
            _ if answer.agreed.is_empty() => "no majority has one hash",
            _ => "same",
        };
        table.row([
            member.id.to_string(),
            if member.voter { "voter" } else { "learner" }.to_owned(),
            member.hash.clone(),
            verdict.to_owned(),
        ]);
    }
    format!("at rev {}\n\n{}", answer.rev, table.render())
}
