//! Why this node stops, when it is not the consensus library that says so.

use gantry_store::{Log, Owner, watch};
use gantry_types::Rev;

use crate::raft_types::Raft;

/// Ends this node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    raft: Raft,
    owner: Owner,
    stopped: watch::Sender<Option<String>>,
}

impl Ending {
    pub(crate) fn new(raft: Raft, owner: Owner, stopped: watch::Sender<Option<String>>) -> Self {
        Self { raft, owner, stopped }
    }

    /// This node's state differs from its peers': it stops serving, and its directory is not opened again.
    pub(crate) fn diverged(&self, rev: Rev, own: u128, others: u128) {
        let why = format!("at rev {rev} its state has the hash {own:032x}, most others have {others:032x}");
        tracing::error!(
            rev,
            own = format!("{own:032x}"),
            others = format!("{others:032x}"),
            "this replica has diverged"
        );
        // Should this fail, the node is condemned again at the next comparison.
        if let Err(error) = self.owner.note_diverged(&why) {
            tracing::error!(%error, "the divergence cannot be noted");
        }
        self.because(format!("this replica has diverged: {why}"));
    }

    /// Ends this node once its log cannot be written. The library hears of it only when it writes the next time, and a node at
    /// rest would be a member until then that can do nothing.
    pub(crate) async fn with_log(self, log: Log) {
        let why = log.failed().await;
        self.because(format!("the log cannot be written: {why}"));
    }

    pub(crate) fn because(&self, why: String) {
        self.stopped.send_modify(|stopped| {
            stopped.get_or_insert(why);
        });
        let raft = self.raft.clone();
        tokio::spawn(async move {
            if let Err(error) = raft.shutdown().await {
                tracing::warn!(%error, "the consensus core did not end in order");
            }
        });
    }
}
