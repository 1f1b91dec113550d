use std::path::PathBuf;

use clap::Args;
use gantry_proto::v1::Member;
use gantry_store::offline::recover::{RecoverError, Survivor, look, recover};
use serde_json::{Value, json};

use super::{
    inspect::{self, position},
    restore::{draw_id, new_cluster, not_made},
};
use crate::{arg::member, context::Outcome, exit::Exit, failure::Failure, output::Output};

/// Make a new cluster out of one survivor, when the others are lost for good
///
/// Offline, and only when a quorum will never come back: placements that were acknowledged without this member are lost. Look
/// at every surviving directory and take the one whose last entry is the largest by (term, index). Nothing in it is changed.
/// Without --accept-loss it only says what would be kept and what may be lost.
#[derive(Debug, Args)]
pub struct Recover {
    /// The survivor's data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Where to make the data directory of the new cluster's one member; what is there must be empty
    #[arg(long, value_name = "DIR")]
    into: PathBuf,

    /// The one member, where its id or addresses are not to be the survivor's
    #[arg(long, value_name = "ID=RAFT_ADDR,CLIENT_ADDR", value_parser = member::parse)]
    member: Option<Member>,

    /// Yes, what only the lost members had may be lost
    #[arg(long)]
    accept_loss: bool,
}

impl Recover {
    pub fn run(self, output: Output) -> Outcome {
        let survivor = look(&self.dir).map_err(failed)?;
        let identity = survivor.inspection.identity.clone().unwrap_or_else(|| {
            // `look` refuses a directory that is no member's.
            unreachable!("a survivor has an identity")
        });
        let member = match self.member {
            Some(member) => member,
            None => own_member(&survivor, identity.node)?,
        };
        if !self.accept_loss {
            let value = report(&survivor, None);
            output.answer(&value, || announcement(&survivor))?;
            return Err(Failure::new(Exit::Refused, "nothing was made").hint("--accept-loss makes the new cluster"));
        }
        let id = draw_id();
        let cluster = new_cluster(identity.cluster, id, vec![member]);
        let made = recover(&self.dir, &cluster, &self.into).map_err(failed)?;
        let new = json!({
            "cluster": cluster.name,
            "cluster_id": format!("{id:016x}"),
            "node": cluster.members[0].id,
            "dir": self.into.display().to_string(),
            "rev": made.position.index,
            "state_hash": format!("{:032x}", made.state_hash),
        });
        output.answer(&report(&survivor, Some(new)), || {
            format!(
                "{}\ncluster {} has the new identity {id:016x} and one member, node {}, in {}.\nStart its server there, then \
                 add members with empty directories and new ids. The old members are not let in.\n",
                announcement(&survivor),
                cluster.name,
                cluster.members[0].id,
                self.into.display(),
            )
        })
    }
}

/// The survivor as its cluster knew it.
fn own_member(survivor: &Survivor, node: u64) -> Result<Member, Failure> {
    let own = survivor.membership.members.iter().find(|member| member.id == node);
    let own = own.ok_or_else(|| {
        Failure::usage(format!("node {node} was no member of its cluster: name the new member with --member"))
    })?;
    Ok(Member {
        id: own.id,
        raft_addr: own.raft_addr.clone(),
        client_addr: own.client_addr.clone(),
        ..Member::default()
    })
}

fn failed(error: RecoverError) -> Failure {
    match error {
        RecoverError::Restore(error) => not_made(error),
        RecoverError::InUse { .. } => Failure::new(Exit::Refused, error.to_string()),
        error => Failure::usage(error.to_string()),
    }
}

fn report(survivor: &Survivor, new: Option<Value>) -> Value {
    json!({
        "survivor": inspect::value(&survivor.inspection),
        "keeps_to": position(Some(survivor.last)),
        "committed": position(survivor.committed),
        "unapplied_entries": survivor.to_apply,
        "may_be_lost": lost(survivor),
        "recovered": new,
    })
}

fn lost(survivor: &Survivor) -> Vec<String> {
    let after = format!("everything that was acknowledged after {} without this member", survivor.last);
    let broken = survivor.log_is_broken.as_ref();
    let broken = broken.map(|why| format!("entries that this member had acknowledged itself: {why}"));
    std::iter::once(after).chain(broken).collect()
}

fn announcement(survivor: &Survivor) -> String {
    let committed = survivor.committed.map_or_else(|| "nothing".to_owned(), |at| at.to_string());
    let mut text = inspect::text(&survivor.inspection);
    text += &format!("\nkept: everything up to {}\n", survivor.last);
    text += &format!("known to be committed: {committed}; what follows it is kept too, acknowledged or not\n");
    for lost in lost(survivor) {
        text += &format!("may be lost: {lost}\n");
    }
    text
}
