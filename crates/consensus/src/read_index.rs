//! The read barrier: many callers, one confirmation at a time.

use std::time::Duration;

use gantry_store::watch;
use gantry_types::Rev;
use openraft::{
    ReadPolicy,
    errors::{LinearizableReadError, RaftError},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::ProposeError,
    raft_types::{Raft, Types, pointed_to},
};

/// Callers that may wait for the next confirmation.
const WAITING: usize = 65_536;
/// How long the local state may take to reach a confirmed position before callers are told that it did not.
const APPLY_TIMEOUT: Duration = Duration::from_secs(5);

type Caller = oneshot::Sender<Result<Rev, ProposeError>>;

/// Confirms that this node still leads. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ReadIndex {
    callers: mpsc::Sender<Caller>,
}

impl ReadIndex {
    /// With the task that does the confirming, which ends when the last handle is gone.
    pub(crate) fn new(raft: Raft, applied: watch::Receiver<Rev>) -> (Self, impl Future<Output = ()> + Send) {
        let (callers, queue) = mpsc::channel(WAITING);
        (Self { callers }, confirm_all(raft, applied, queue))
    }

    /// A position that includes everything that was acknowledged before the call began, and that the local state has
    /// reached.
    pub(crate) async fn confirm(&self) -> Result<Rev, ProposeError> {
        let (told, confirmed) = oneshot::channel();
        self.callers.try_send(told).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Busy,
            mpsc::error::TrySendError::Closed(_) => stopped("it is shutting down"),
        })?;
        confirmed.await.unwrap_or_else(|_| Err(stopped("it is shutting down")))
    }
}

/// A caller may only share a confirmation that began after its call did: those who come while one is under way wait for
/// the next.
async fn confirm_all(raft: Raft, mut applied: watch::Receiver<Rev>, mut queue: mpsc::Receiver<Caller>) {
    let mut callers = Vec::new();
    while queue.recv_many(&mut callers, WAITING).await > 0 {
        let confirmed = confirm(&raft, &mut applied).await;
        for caller in callers.drain(..) {
            // A caller that stopped waiting does not want to know.
            let _ = caller.send(confirmed.clone());
        }
    }
}

async fn confirm(raft: &Raft, applied: &mut watch::Receiver<Rev>) -> Result<Rev, ProposeError> {
    let linearizer = raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(refused)?;
    let rev = linearizer.read_log_id().index();
    let reached = tokio::time::timeout(APPLY_TIMEOUT, applied.wait_for(|applied| *applied >= rev)).await;
    match reached {
        Ok(Ok(_)) => Ok(rev),
        Ok(Err(_)) => Err(stopped("it is shutting down")),
        Err(_) => Err(ProposeError::Unknown { why: format!("the state did not reach rev {rev} in time") }),
    }
}

fn refused(error: RaftError<Types, LinearizableReadError<Types>>) -> ProposeError {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(to)) => {
            ProposeError::NotLeader { leader: pointed_to(to) }
        }
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(quorum)) => {
            ProposeError::Unknown { why: quorum.to_string() }
        }
        RaftError::Fatal(fatal) => stopped(&fatal.to_string()),
    }
}

fn stopped(why: &str) -> ProposeError {
    ProposeError::Stopped { why: why.to_owned() }
}
