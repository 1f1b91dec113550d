//! The repository's own rules. To add one: a file in `tidy/`, and its line in [`CHECKS`].
//!
//! A check is a pure function of the [`Tree`], so each one's tests show it a bad sample and see it complain.

mod architecture;
mod arrows;
mod code;
mod determinism;
mod finding;
mod inherit;
mod length;
mod manifest;
mod modules;
mod toolchain;
mod tree;
mod unfinished;
mod words;

use anyhow::{Result, bail};

use self::{
    finding::{Finding, Level},
    tree::Tree,
};
use crate::workspace::Workspace;

/// One rule.
struct Check {
    /// Shown with every finding, so that a reader finds the file of the rule.
    name: &'static str,
    run: fn(&Tree) -> Vec<Finding>,
}

static CHECKS: &[Check] = &[
    architecture::CHECK,
    arrows::CHECK,
    determinism::CHECK,
    inherit::CHECK,
    length::CHECK,
    modules::CHECK,
    toolchain::CHECK,
    unfinished::CHECK,
    words::CHECK,
];

/// Runs every check and prints what they found; an error when any finding must be repaired.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = Tree::of_clone(&workspace.root)?;
    let mut errors = 0;
    let mut warnings = 0;
    for check in CHECKS {
        for finding in (check.run)(&tree) {
            match finding.level {
                Level::Error => errors += 1,
                Level::Warning => warnings += 1,
            }
            println!("{}", finding.line(check.name));
        }
    }
    if errors > 0 {
        bail!("{errors} of tidy's rules' findings must be repaired (and {warnings} warnings), see the lines above");
    }
    println!("tidy: {} checks over {} files, {warnings} warnings", CHECKS.len(), tree.files().len());
    Ok(())
}
