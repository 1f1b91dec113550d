//! Which `gantry` is run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// `GANTRY_BIN` where it is set. Otherwise the one beside this program: freshly built where cargo runs us, so that no stale
/// server is measured.
pub fn find() -> Result<PathBuf> {
    if let Some(path) = env::var_os("GANTRY_BIN").map(PathBuf::from) {
        ensure!(path.is_file(), "GANTRY_BIN is {}: there is no such file", path.display());
        return Ok(path);
    }
    let own = env::current_exe().context("cannot find this program's own path")?;
    let folder = own.parent().context("this program lies in no directory")?;
    if let Some(cargo) = env::var_os("CARGO") {
        build(Path::new(&cargo), folder)?;
    }
    let path = folder.join(format!("gantry{}", env::consts::EXE_SUFFIX));
    ensure!(
        path.is_file(),
        "{} does not exist: build it with `cargo build --release -p gantry-cli`, or name one in GANTRY_BIN",
        path.display()
    );
    Ok(path)
}

/// Builds into the directory that this program was built into.
fn build(cargo: &Path, folder: &Path) -> Result<()> {
    let mut command = Command::new(cargo);
    // Not quiet: the first build takes half an hour, and cargo shows its progress where the last line of output is not.
    command.args(["build", "-p", "gantry-cli", "--bin", "gantry"]);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    // Cargo puts the profile's folder into the target directory.
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    let status = command.status().with_context(|| format!("cannot run {}", cargo.display()))?;
    ensure!(status.success(), "`cargo build -p gantry-cli` failed: {status}");
    Ok(())
}
