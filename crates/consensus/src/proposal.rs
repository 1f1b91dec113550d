//! A proposed entry, and what became of it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use gantry_store::Applied;
use openraft::errors::{ClientWriteError, ForwardReason};
use tokio::sync::oneshot;

use crate::{
    error::ProposeError,
    raft_types::{WriteResult, pointed_to},
};

/// Largest entry that is proposed.
pub const ENTRY_BYTES: usize = 1 << 20;

/// Ends when the entry is committed and applied here, or with why not. Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "an entry's outcome is known only when its proposal is awaited"]
pub struct Proposal {
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It was not proposed. Empty once that was told.
    Refused(Option<ProposeError>),
    UnderWay(oneshot::Receiver<WriteResult>),
}

impl Proposal {
    pub(crate) fn refused(error: ProposeError) -> Self {
        Self { stage: Stage::Refused(Some(error)) }
    }

    pub(crate) fn under_way(result: oneshot::Receiver<WriteResult>) -> Self {
        Self { stage: Stage::UnderWay(result) }
    }
}

impl Future for Proposal {
    type Output = Result<Applied, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.stage {
            Stage::Refused(error) => {
                let error = error.take().unwrap_or_else(|| unknown("the proposal was awaited twice"));
                Poll::Ready(Err(error))
            }
            Stage::UnderWay(result) => Poll::Ready(match ready!(Pin::new(result).poll(context)) {
                Ok(result) => outcome(result),
                Err(_) => Err(unknown("this node stopped before it was told")),
            }),
        }
    }
}

/// Whatever is wrong after the entry was handed over, it may be in somebody's log: unless the library says that it did not
/// take it. (It says otherwise of an entry that it took and had to discard.)
fn outcome(result: WriteResult) -> Result<Applied, ProposeError> {
    match result {
        Ok(response) => response.data.ok_or_else(|| unknown("the entry was applied without an outcome")),
        Err(ClientWriteError::ForwardToLeader(to)) if to.reason == ForwardReason::LeaseExpired => {
            Err(ProposeError::Unheard)
        }
        Err(ClientWriteError::ForwardToLeader(to)) => Err(ProposeError::NotLeader { leader: pointed_to(to) }),
        Err(error) => Err(unknown(error.to_string())),
    }
}

fn unknown(why: impl Into<String>) -> ProposeError {
    ProposeError::Unknown { why: why.into() }
}
