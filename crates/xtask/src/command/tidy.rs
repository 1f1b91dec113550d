use anyhow::Result;

use super::{Command, refuse_arguments};
use crate::{tidy, workspace::Workspace};

pub(super) const COMMAND: Command =
    Command { name: "tidy", about: "Check the repository's own rules (crate arrows, file sizes, names in docs).", run };

fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    refuse_arguments(&COMMAND, arguments)?;
    tidy::run(workspace)
}
