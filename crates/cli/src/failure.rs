//! A command that failed: what happened, and what to do next.

use std::fmt;

use gantry_client::Error;
use gantry_proto::reason;
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    json::{change, list, rejections},
    output::Output,
};

#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    /// What to do next.
    hint: Option<String>,
    detail: Value,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, detail: json!({}) }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Unknown, message)
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Of several calls: says what was done before this one failed.
    pub fn after(mut self, done: &str) -> Self {
        if !done.is_empty() {
            self.message += &format!("\nbefore that: {done}");
        }
        self
    }

    /// For a call under a request id: where the outcome is not known, the same id asks for it.
    pub fn of_request(error: Error, request_id: &str) -> Self {
        let indefinite = error.indefinite();
        let mut failure = Self::from(error);
        if let Value::Object(detail) = &mut failure.detail {
            detail.insert("request_id".to_owned(), request_id.into());
        }
        if indefinite {
            failure.hint(format!("it may have happened: run it again with --request-id {request_id}"))
        } else {
            failure
        }
    }

    /// Tells people on standard error and, where asked for, programs on standard output.
    pub fn report(self, output: Output) -> Exit {
        if self.exit == Exit::Ok {
            return self.exit;
        }
        eprintln!("error: {self}");
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        if output.is_json() {
            let mut error = self.detail;
            error["message"] = self.message.into();
            error["hint"] = self.hint.into();
            error["exit"] = (self.exit as u8).into();
            // Nobody reads standard output any more: the exit code still tells.
            let _ = output.value(&json!({ "error": error }));
        }
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = match error.reason() {
            reason::UNREACHABLE => {
                Some("is a server running? start one with `gantry dev`, or name its address with --addr")
            }
            reason::NOT_LEADER => Some("see which members are up with `gantry cluster status`"),
            reason::NO_CAPACITY => Some("`gantry host ls` shows what is free"),
            reason::OVERLOADED | reason::CONTENDED => Some("run it again in a moment"),
            _ => None,
        };
        let detail = json!({
            "code": format!("{:?}", error.code),
            "reason": error.reason(),
            "indefinite": error.indefinite(),
            "rejections": rejections(error.rejections()),
            "changes": list(&error.detail.changes, change),
            "rev": error.detail.rev,
        });
        Self { exit: Exit::of(&error), message: error.to_string(), hint: hint.map(str::to_owned), detail }
    }
}

impl From<std::io::Error> for Failure {
    /// Only printing does I/O here.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            // `gantry ls | head`: whoever read has read enough.
            return Self::new(Exit::Ok, "");
        }
        Self::internal(format!("standard output cannot be written: {error}"))
    }
}
