use anyhow::{Context, Result};

use super::{Command, refuse_arguments};
use crate::{exit, setup, tidy, workspace::Workspace};

pub(super) const COMMAND: Command =
    Command { name: "fix", about: "Format, apply clippy's machine-applicable fixes, then tidy.", run };

fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    refuse_arguments(&COMMAND, arguments)?;
    setup::run()?;
    let clippy = ["clippy", "--fix", "--allow-dirty", "--allow-staged", "--workspace", "--all-targets"];
    // Formatted again at the end: what clippy rewrites is not always laid out.
    for step in [&["fmt", "--all"][..], &clippy[..], &["fmt", "--all"][..]] {
        let what = format!("cargo {}", step.join(" "));
        let status = workspace.cargo().args(step).status().with_context(|| format!("starting {what}"))?;
        exit::check(&what, status)?;
    }
    tidy::run(workspace)
}
