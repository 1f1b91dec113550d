//! Answers on standard output: text for people, or JSON whose last line is one object.

use std::io::{self, Write};

use serde_json::Value;

use crate::{exit::Exit, failure::Failure};

#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints an answer in the form that was asked for.
    pub fn answer(self, value: &Value, text: impl FnOnce() -> String) -> Result<Exit, Failure> {
        if self.json {
            self.value(value)?
        } else {
            self.text(&text())?
        }
        Ok(Exit::Ok)
    }

    pub fn value(self, value: &Value) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{value}")
    }

    pub fn text(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") }
    }
}
