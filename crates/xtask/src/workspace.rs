//! Where things are: the clone, and the target directory that outlives it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// The clone this runs in, and where its builds go.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Outside the clone by default, so that the next clean clone on this machine finds RocksDB and every dependency
    /// compiled.
    pub(crate) target_dir: PathBuf,
    /// What else outlives the clone: tools that the checks need.
    pub(crate) cache_dir: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let current = env::current_dir().context("reading the current directory")?;
        // `cargo run` says where this crate lies; without it (the binary run by hand) the current directory must do.
        let start = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| current.clone(), PathBuf::from);
        let root = start
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").is_file() && folder.join("crates/xtask").is_dir())
            .with_context(|| format!("{} is not inside a clone of Gantry: run this from the clone", start.display()))?
            .to_path_buf();
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let target_dir = current.join(target_dir(variable)?);
        let cache_dir = current.join(cache_dir(variable).unwrap_or_else(|| target_dir.join("gantry-cache")));
        Ok(Self { root, target_dir, cache_dir })
    }

    /// Cargo in the clone's root, building into the shared target directory.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target_dir);
        // What `cargo run` set for this process is about xtask; build scripts that watch such a variable would run again.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_about_this_package) {
                command.env_remove(name);
            }
        }
        command
    }
}

fn is_about_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"].contains(&variable)
}

/// `$GANTRY_TARGET_DIR`, else `$CARGO_TARGET_DIR`, else `gantry/target` in the user's cache folder.
fn target_dir(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    for name in ["GANTRY_TARGET_DIR", "CARGO_TARGET_DIR"] {
        if let Some(folder) = variable(name) {
            return Ok(PathBuf::from(folder));
        }
    }
    let cache = cache_dir(variable);
    let cache =
        cache.context("no folder for build outputs: set HOME, or GANTRY_TARGET_DIR to a folder that is kept")?;
    Ok(cache.join("target"))
}

/// `gantry` in the user's cache folder.
fn cache_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
    Some(variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("gantry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(set: &[(&str, &str)]) -> Option<PathBuf> {
        target_dir(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))).ok()
    }

    #[test]
    fn the_target_dir_is_the_most_specific_one_that_is_set() {
        let home = ("HOME", "/home/ada");
        let cache = ("XDG_CACHE_HOME", "/var/cache/ada");
        let cargo = ("CARGO_TARGET_DIR", "/big/target");
        let gantry = ("GANTRY_TARGET_DIR", "/big/gantry");
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[home]), Some(PathBuf::from("/home/ada/.cache/gantry/target")));
        assert_eq!(chosen(&[home, cache]), Some(PathBuf::from("/var/cache/ada/gantry/target")));
        assert_eq!(chosen(&[home, cache, cargo]), Some(PathBuf::from("/big/target")));
        assert_eq!(chosen(&[home, cache, cargo, gantry]), Some(PathBuf::from("/big/gantry")));
    }
}
