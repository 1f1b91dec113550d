use std::{os::unix::process::CommandExt, path::Path, process};

use anyhow::{Context, Result, bail};

use super::Command;
use crate::{exit, setup, workspace::Workspace};

pub(super) const COMMAND: Command = Command {
    name: "chaos",
    about: "`chaos sim`: simulate clusters under faults; takes gantry-sim's arguments (--seeds N, --seed S, --json, ...).",
    run,
};

/// Where the page goes unless `--html` says otherwise, relative to the clone.
const PAGE: &str = "target/chaos/sim.html";

/// Becomes the simulator in the end, whose exit code is then this one's.
fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let Some(("sim", given)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
        bail!("say what: `cargo xtask chaos sim`");
    };
    setup::run()?;
    let simulator = build(workspace)?;
    let error = process::Command::new(&simulator).args(sim_arguments(&workspace.root, given)).exec();
    Err(error).with_context(|| format!("starting {}", simulator.display()))
}

/// The simulator's release binary.
pub(super) fn build(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let build = ["build", "--release", "--package", "gantry-sim"];
    let status = workspace.cargo().args(build).status().context("starting cargo build")?;
    exit::check("building gantry-sim", status)?;
    Ok(workspace.target_dir.join("release/gantry-sim"))
}

/// Paths that are given are relative to where the user is.
pub(super) fn sim_arguments(root: &Path, given: &[String]) -> Vec<String> {
    let mut all = given.to_vec();
    if !given.iter().any(|argument| argument == "--html" || argument.starts_with("--html=")) {
        all.extend(["--html".to_owned(), root.join(PAGE).display().to_string()]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_passed_on_and_the_page_can_be_chosen() {
        let all = |given: &[&str]| {
            sim_arguments(Path::new("/clone"), &given.iter().map(ToString::to_string).collect::<Vec<_>>()).join(" ")
        };
        assert_eq!(all(&["--seeds", "5"]), "--seeds 5 --html /clone/target/chaos/sim.html");
        assert_eq!(all(&["--html=x", "--json"]), "--html=x --json");
    }
}
