//! Exit codes that scripts can use. The table in `--help` is made of the same list.

use std::process::ExitCode;

use gantry_client::Error;
use gantry_proto::reason;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    Unknown = 1,
    Usage = 2,
    NoCapacity = 3,
    NotFound = 4,
    Refused = 5,
    Unavailable = 6,
    Busy = 7,
}

/// Every code with what it means, as `--help` shows it.
pub const MEANINGS: &[(Exit, &str)] = &[
    (Exit::Ok, "done"),
    (Exit::Unknown, "internal error, or the outcome is not known: run it again with the same --request-id"),
    (Exit::Usage, "the command line or a value in it is wrong"),
    (Exit::NoCapacity, "no capacity for all that was asked for (what fits was placed, unless --all-or-nothing)"),
    (Exit::NotFound, "no such reservation, volume, host, image or member"),
    (Exit::Refused, "refused in the present state: in use, fenced, already done otherwise, limit reached"),
    (Exit::Unavailable, "no node, or no leader, can be reached"),
    (Exit::Busy, "overloaded, contended for longer than was tried, or out of disk: run it again later"),
];

impl Exit {
    /// For a call that failed.
    pub fn of(error: &Error) -> Self {
        use gantry_client::Code;
        match error.reason() {
            reason::NO_CAPACITY => return Self::NoCapacity,
            reason::UNREACHABLE | reason::NOT_LEADER | reason::STOPPED => return Self::Unavailable,
            reason::OVERLOADED | reason::CONTENDED | reason::DISK_FULL => return Self::Busy,
            _ => {}
        }
        if error.indefinite() {
            return Self::Unknown;
        }
        match error.code {
            Code::InvalidArgument => Self::Usage,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated => Self::Refused,
            Code::Unavailable | Code::DeadlineExceeded => Self::Unavailable,
            Code::Aborted => Self::Busy,
            _ => Self::Unknown,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table for `--help`.
pub fn help() -> String {
    let lines = MEANINGS.iter().map(|(exit, meaning)| format!("  {}  {meaning}", *exit as u8));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_once() {
        for (at, (exit, _)) in MEANINGS.iter().enumerate() {
            assert_eq!(*exit as usize, at);
        }
        assert_eq!(MEANINGS.len(), Exit::Busy as usize + 1);
    }
}
