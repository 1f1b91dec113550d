//! Checks other people's code against `deny.toml`: licences, sources, banned packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{exit, pipeline::Note, setup, workspace::Workspace};

/// The version whose configuration `deny.toml` is written for.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Advisories are not among them, `deny.toml` says why.
const CHECKS: &[&str] = &["bans", "licenses", "sources"];

pub(crate) fn run(workspace: &Workspace) -> Result<Note> {
    let program = cargo_deny(workspace)?;
    let status = Command::new(&program)
        .current_dir(&workspace.root)
        .args(["check", "--hide-inclusion-graph"])
        .args(CHECKS)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    exit::check("cargo deny check", status)?;
    Ok(Note::new())
}

/// The installed program, else our own copy, which the first run on a machine compiles (about three minutes on 2 cores).
fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    if setup::has_program("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    // The version is part of the folder's name, so a newer one is compiled when this file asks for it.
    let folder = workspace.cache_dir.join(format!("tools/cargo-deny-{CARGO_DENY_VERSION}"));
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        install(workspace, &folder)?;
    }
    ensure!(
        program.is_file(),
        "cargo install succeeded without making {}: remove {} and run again",
        program.display(),
        folder.display()
    );
    Ok(program)
}

fn install(workspace: &Workspace, folder: &Path) -> Result<()> {
    println!("cargo-deny is not in PATH: compiling version {CARGO_DENY_VERSION} once into {}", folder.display());
    let build = workspace.cache_dir.join("tools/build");
    let status = workspace
        .cargo()
        .env("CARGO_TARGET_DIR", &build)
        .args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY_VERSION, "--root"])
        .arg(folder)
        .status()
        .context("starting cargo install")?;
    exit::check("cargo install cargo-deny", status)?;
    // A gigabyte that nothing needs again.
    fs::remove_dir_all(&build).with_context(|| format!("removing {}", build.display()))
}
