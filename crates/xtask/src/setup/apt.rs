//! Installing Debian packages.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use super::program;
use crate::exit;

/// Installs `packages` when this process may, and otherwise stops with the line that somebody has to run.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let line = format!("apt-get update && apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if !program::in_path("apt-get") {
        bail!("this machine has no apt-get: install what Debian calls {}, then run this again", packages.join(", "));
    }
    if !is_root() {
        bail!(
            "not root, so nothing was installed. Run this line, then this command again:\n\n    sudo sh -c '{line}'\n"
        );
    }
    eprintln!("installing: {line}");
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let what = format!("apt-get {}", arguments.join(" "));
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Standard output belongs to the command that needed the packages (`demo --json`).
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("starting {what}"))?;
    Ok(exit::check(&what, status)?)
}

/// Whether the effective user is root, as the kernel says it.
fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_uid(&status) == Some(0))
}

/// The second number of the line `Uid: real effective saved filesystem`.
fn effective_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t7\t7\t7\t7\n"), Some(0));
        assert_eq!(effective_uid("Uid:\t0\t1000\t0\t1000\n"), Some(1000));
        assert_eq!(effective_uid("Name:\tx\n"), None);
    }
}
