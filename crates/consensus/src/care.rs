//! What a node does for its data beside serving: it walks over it, compares it, and notes who else has it.

use gantry_store::{Owner, Scrubber};
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    config::CheckRules,
    role::Role,
    roster, scrubbing,
    verify::{self, Verifier},
};

/// Begins all of it, to be ended with the node.
pub(crate) fn begin(
    scrubber: Scrubber,
    verifier: &Verifier,
    owner: Owner,
    role: watch::Receiver<Role>,
    rules: CheckRules,
) -> [AbortHandle; 3] {
    let Verifier { raft, ending, .. } = verifier.clone();
    [
        tokio::spawn(roster::run(raft.clone(), owner)).abort_handle(),
        tokio::spawn(scrubbing::run(scrubber, raft, ending, rules)).abort_handle(),
        tokio::spawn(verify::run(verifier.clone(), role, rules.verify_every)).abort_handle(),
    ]
}
