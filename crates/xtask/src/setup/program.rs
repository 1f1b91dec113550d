//! Is there such a program?

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path};

/// Whether the shell would find `name`: in a folder of `PATH`, or as the path that it is.
pub(crate) fn in_path(name: &str) -> bool {
    if name.contains('/') {
        return is_executable(Path::new(name));
    }
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| is_executable(&folder.join(name))))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_only_programs() {
        assert!(in_path("sh"));
        assert!(in_path("/bin/sh"));
        assert!(!in_path("no-such-program-anywhere"));
        assert!(!in_path("/etc/passwd"), "a file that cannot be run is no program");
    }
}
