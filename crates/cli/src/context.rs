//! What every command that calls the service is given.

use gantry_client::Client;

use crate::{exit::Exit, failure::Failure, output::Output};

/// What a command comes to.
pub type Outcome = Result<Exit, Failure>;

#[derive(Debug)]
pub struct Context {
    pub client: Client,
    /// As given with `--addr`.
    pub endpoints: Vec<String>,
    pub output: Output,
}

impl Context {
    /// The one node that a call about one node goes to.
    pub fn node(&self) -> Result<&str, Failure> {
        match self.endpoints.as_slice() {
            [one] => Ok(one),
            all => Err(Failure::usage(format!("this is about one node, but --addr names {}: name one", all.len()))),
        }
    }
}
