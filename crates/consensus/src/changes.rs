//! Changes of the members, one at a time, each to its end: a caller that goes away stops nothing half way, and what a dead
//! leader left half done the next one completes by itself.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{error::MembershipError, membership::Members};

/// How long it waits after a try that failed.
const AGAIN: Duration = Duration::from_millis(200);

/// Whose turn it is. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    turn: Arc<Mutex<()>>,
}

impl Changes {
    /// Runs `work` unless another change is under way.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, MembershipError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, MembershipError>> + Send + 'static,
    {
        let Some(turn) = self.begin() else { return Err(MembershipError::InProgress) };
        let changed = tokio::spawn(async move {
            let changed = work.await;
            drop(turn);
            changed
        });
        changed.await.unwrap_or_else(|died| Err(MembershipError::Unknown { why: died.to_string() }))
    }

    fn begin(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// Completes half-done changes for as long as the node runs, whenever it leads; and keeps the addresses of the members
    /// in step with the log.
    pub(crate) async fn complete(self, members: Members) {
        let mut metrics = members.raft.server_metrics();
        loop {
            let (leads, joint) = {
                let seen = metrics.borrow_and_update();
                let membership = seen.membership_config.membership();
                (seen.state.is_leader(), membership.get_joint_config().len() > 1)
            };
            let addresses = members.members().into_values().map(|member| (member.id, member.raft_addr));
            members.peers.note_addresses(addresses);
            members.peers.note_voters(members.voters());
            let undone = leads && joint && !self.finish(&members).await;
            let changed = if undone {
                tokio::time::timeout(AGAIN, metrics.changed()).await.unwrap_or(Ok(()))
            } else {
                metrics.changed().await
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// True where nothing is left to do. While somebody's change is under way it is theirs to complete.
    async fn finish(&self, members: &Members) -> bool {
        let Some(_turn) = self.begin() else { return false };
        match members.finish_joint().await {
            Ok(()) => {
                tracing::info!("completed a change of the voters that was left half done");
                true
            }
            // The change before it is not committed yet.
            Err(error) => {
                tracing::debug!(%error, "a change of the voters is still half done");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openraft::{Membership, async_runtime::watch::WatchReceiver, entry::RaftPayload};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Config, Consensus, raft_types::Payload};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_change_that_was_left_half_done_is_completed_by_the_leader_itself() {
        let dir = tempfile::tempdir().unwrap();
        let free = async || TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let config = Config::new(1, free().await, free().await, dir.path().to_owned());
        let member = config.member();
        let consensus = Consensus::start(config).await.unwrap();
        consensus.init(vec![member]).await.unwrap();
        let mut role = consensus.role();
        tokio::time::timeout(PATIENCE, role.wait_for(|role| role.is_leader)).await.unwrap().unwrap();

        // What a leader leaves behind that dies between the two entries of a change.
        let raft = consensus.raft();
        let nodes = raft.server_metrics().borrow_watched().membership_config.membership().clone();
        let nodes = nodes.nodes().map(|(id, addresses)| (*id, addresses.clone())).collect();
        let one = BTreeSet::from([1]);
        let half =
            Membership::<u64, _>::new(vec![one.clone(), one], std::collections::BTreeMap::clone(&nodes)).unwrap();
        raft.append_membership(half, Payload::blank(), []).await.unwrap();

        let done = async {
            while consensus.status().is_joint {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("nobody completed it");
        assert_eq!(consensus.status().members.len(), 1);
    }

    #[tokio::test]
    async fn a_second_change_is_refused_while_one_is_under_way() {
        let changes = Changes::default();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let first = changes.run(async move {
            drop(gone.await);
            Ok(())
        });
        let mut first = std::pin::pin!(first);
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(changes.run(async { Ok(()) }).await, Err(MembershipError::InProgress));
        go.send(()).unwrap();
        assert_eq!(first.await, Ok(()));
        assert_eq!(changes.run(async { Ok(()) }).await, Ok(()));
    }
}
