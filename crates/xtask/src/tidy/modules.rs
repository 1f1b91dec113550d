//! Modules are `foo.rs` with `foo/`.

use super::{Check, finding::Finding, tree::Tree};

pub(super) const CHECK: Check = Check { name: "modules", run };

fn run(tree: &Tree) -> Vec<Finding> {
    let named_mod = tree.rust().filter_map(|file| Some((file, file.path.strip_suffix("/mod.rs")?)));
    named_mod
        .map(|(file, folder)| Finding::error(&file.path, 1, "a module named mod.rs", format!("Move it to {folder}.rs")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mod_rs_is_found() {
        let tree =
            Tree::sample(&[("crates/a/src/b/mod.rs", ""), ("crates/a/src/c.rs", ""), ("crates/a/src/amod.rs", "")]);
        let found = run(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].repair, "Move it to crates/a/src/b.rs");
    }
}
