use std::path::PathBuf;

use clap::Args;
use gantry_store::want_rebuild;
use serde_json::json;

use crate::{context::Outcome, failure::Failure, output::Output};

/// Give up a stopped node's data: its next start comes back with its peers'
///
/// For a replica that has diverged, once it is known why. The old data is moved to `set-aside` in the directory, in the place of
/// what lay there before. The node comes back under a new id, as long as the others are a quorum; otherwise nothing is changed.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// The node's data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Rebuild {
    pub fn run(self, output: Output) -> Outcome {
        want_rebuild(&self.dir).map_err(|error| Failure::usage(error.to_string()))?;
        let dir = self.dir.display().to_string();
        output.answer(&json!({ "dir": dir }), || {
            "the next start of its server comes back with the others' data".to_owned()
        })
    }
}
