//! How a failed child's exit code reaches the caller of `cargo xtask`.

use std::{fmt, process::ExitStatus};

/// The exit code for arguments that cannot be understood, as shells and getopt have it.
pub(crate) const USAGE: u8 = 2;

/// A child ended with this code, which `cargo xtask` passes on.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) what: String,
    pub(crate) code: u8,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed (exit code {})", self.what, self.code)
    }
}

impl std::error::Error for Failed {}

/// Success, or [`Failed`] with the child's exit code (1 when a signal ended it).
pub(crate) fn check(what: &str, status: ExitStatus) -> Result<(), Failed> {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1);
    Err(Failed { what: what.to_owned(), code })
}
