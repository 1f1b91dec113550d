//! Keeps the members' addresses where they can be read when nothing else can.

use gantry_store::{Member, Owner};

use crate::raft_types::Raft;

/// Notes every change of the members, for as long as the node runs.
pub(crate) async fn run(raft: Raft, owner: Owner) {
    let mut metrics = raft.server_metrics();
    let mut noted: Vec<Member> = Vec::new();
    loop {
        let members: Vec<Member> = {
            let seen = metrics.borrow_and_update();
            let nodes = seen.membership_config.membership().nodes();
            nodes.map(|(id, addresses)| addresses.member(*id)).collect()
        };
        if !members.is_empty() && members != noted {
            noted.clone_from(&members);
            let noting = owner.clone();
            let written = owner.workers().run(move || noting.note_members(members)).await;
            // Of use only on the day of a disaster: nothing stops for it.
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "the members cannot be noted");
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
