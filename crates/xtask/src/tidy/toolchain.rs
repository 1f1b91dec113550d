//! The Rust version is `rust-version` in the root manifest, and nothing pins a toolchain.

use super::{Check, finding::Finding, tree::Tree};

pub(super) const CHECK: Check = Check { name: "toolchain", run };

/// A machine that has a new enough Rust must not fetch another one.
const PINS: &[&str] = &["rust-toolchain", "rust-toolchain.toml"];

fn run(tree: &Tree) -> Vec<Finding> {
    let name = |path: &str| path.rsplit('/').next().is_some_and(|name| PINS.contains(&name));
    let pins = tree.files().iter().filter(|file| name(&file.path));
    pins.map(|file| {
        Finding::error(
            &file.path,
            1,
            "a file that pins a toolchain",
            "Delete it; raise `rust-version` in Cargo.toml instead",
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_toolchain_is_found() {
        let tree = Tree::sample(&[("rust-toolchain.toml", ""), ("crates/a/rust-toolchain", ""), ("docs/rust.md", "")]);
        assert_eq!(run(&tree).len(), 2);
    }
}
