//! Why a call failed.

use std::{error::Error as StdError, fmt};

use gantry_proto::{
    WireError, reason,
    v1::{ErrorDetail, Rejection},
};
use tonic::{Code, Status};

/// A call failed, after all repetitions that were safe.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub code: Code,
    /// What happened, to what, why, and what to do.
    pub message: String,
    pub detail: Box<ErrorDetail>,
    /// The node that gave the last answer; empty where none was asked.
    pub endpoint: String,
    /// Tries made.
    pub attempts: u32,
}

impl Error {
    /// Nothing happened and nothing will.
    pub fn definite(&self) -> bool {
        !self.detail.indefinite
    }

    /// It may have happened, or may still: send it again with the same request id.
    pub fn indefinite(&self) -> bool {
        self.detail.indefinite
    }

    /// The stable upper-case word for programs (`gantry_proto::reason`); empty where the error is not from a server of ours.
    pub fn reason(&self) -> &str {
        &self.detail.reason
    }

    /// Which constraints refused how many hosts, where there was no capacity.
    pub fn rejections(&self) -> &[Rejection] {
        &self.detail.rejections
    }

    /// A request that was never sent.
    pub(crate) fn local(code: Code, reason: &str, message: impl Into<String>) -> Self {
        let detail = ErrorDetail { reason: reason.to_owned(), ..ErrorDetail::default() };
        Self { code, message: message.into(), detail: detail.into(), endpoint: String::new(), attempts: 0 }
    }

    pub(crate) fn from_status(status: &Status, endpoint: &str) -> Self {
        let mut error = Self { endpoint: endpoint.to_owned(), attempts: 1, ..Self::from(WireError::from(status)) };
        if !error.detail.reason.is_empty() {
            return error;
        }
        if has_cause::<tonic::TimeoutExpired>(status) {
            return Self::timed_out(endpoint);
        }
        // The request cannot have left this process.
        if has_cause::<tonic::ConnectError>(status) {
            let detail = ErrorDetail { reason: reason::UNREACHABLE.to_owned(), ..ErrorDetail::default() };
            let message = format!("cannot connect to {endpoint}: {}", deepest(status));
            return Self { code: Code::Unavailable, message, detail: detail.into(), ..error };
        }
        if let Some(cause) = status.source() {
            error.message = format!("the connection to {endpoint} broke: {}", deepest(cause));
        }
        error
    }

    /// One try took too long.
    pub(crate) fn timed_out(endpoint: &str) -> Self {
        let detail = ErrorDetail { reason: reason::DEADLINE.to_owned(), indefinite: true, ..ErrorDetail::default() };
        let message = format!("{endpoint} did not answer in time");
        Self {
            code: Code::DeadlineExceeded,
            message,
            detail: detail.into(),
            endpoint: endpoint.to_owned(),
            attempts: 1,
        }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Self { code: error.code, message: error.message, detail: error.detail, endpoint: String::new(), attempts: 1 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.attempts > 1 {
            write!(f, " (after {} tries)", self.attempts)?;
        }
        Ok(())
    }
}

impl StdError for Error {}

fn has_cause<E: StdError + 'static>(status: &Status) -> bool {
    std::iter::successors(status.source(), |error| (*error).source()).any(|error| error.is::<E>())
}

/// The first cause: the outer errors of the transport only say "transport error".
fn deepest<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    std::iter::successors(Some(error), |error| (*error).source()).last().unwrap_or(error)
}
