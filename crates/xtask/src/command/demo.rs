use std::{os::unix::process::CommandExt, path::Path, process};

use anyhow::{Context, Result};

use super::Command;
use crate::{exit, setup, workspace::Workspace};

pub(super) const COMMAND: Command = Command {
    name: "demo",
    about: "Build the release binaries and run the demo; takes gantry-bench demo's arguments (--json, --images, ...).",
    run,
};

/// Where the report goes unless `--out` says otherwise, relative to the clone.
const REPORT_FOLDER: &str = "target/demo";

/// Writes nothing to standard output itself: with `--json` the last line there is the demo's. Becomes the demo in the end,
/// so that a signal reaches it and it can stop its servers.
fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    setup::run()?;
    let build = ["build", "--release", "--package", "gantry-cli", "--package", "gantry-bench"];
    let status = workspace.cargo().args(build).status().context("starting cargo build")?;
    exit::check("building gantry and gantry-bench", status)?;

    let built = workspace.target_dir.join("release");
    let bench = built.join("gantry-bench");
    // Named, because the bench would otherwise build the server once more, with other features of shared dependencies.
    let error = process::Command::new(&bench)
        .env("GANTRY_BIN", built.join("gantry"))
        .args(demo_arguments(&workspace.root, arguments))
        .exec();
    Err(error).with_context(|| format!("starting {}", bench.display()))
}

/// Paths that are given are relative to where the user is.
fn demo_arguments(root: &Path, given: &[String]) -> Vec<String> {
    let mut all = vec!["demo".to_owned()];
    if !given.iter().any(|argument| argument == "--out" || argument.starts_with("--out=")) {
        all.extend(["--out".to_owned(), root.join(REPORT_FOLDER).display().to_string()]);
    }
    all.extend_from_slice(given);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(given: &[&str]) -> String {
        demo_arguments(Path::new("/clone"), &given.iter().map(ToString::to_string).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn arguments_are_passed_on_and_the_report_folder_can_be_chosen() {
        assert_eq!(arguments(&[]), "demo --out /clone/target/demo");
        assert_eq!(
            arguments(&["--json", "--images", "a.json"]),
            "demo --out /clone/target/demo --json --images a.json"
        );
        assert_eq!(arguments(&["--out=x", "--json"]), "demo --out=x --json");
        assert_eq!(arguments(&["--out", "x"]), "demo --out x");
    }
}
