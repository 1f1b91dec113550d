//! Every crate takes its lints from the workspace.

use super::{Check, finding::Finding, manifest, tree::Tree};

pub(super) const CHECK: Check = Check { name: "inherit", run };

fn run(tree: &Tree) -> Vec<Finding> {
    // A manifest that cannot be parsed is reported by the check of the arrows.
    let (manifests, _) = manifest::all(tree);
    let inherits = |manifest: &manifest::Manifest| {
        let workspace = manifest.table.get("lints").and_then(|lints| lints.get("workspace"));
        workspace.and_then(toml::Value::as_bool) == Some(true)
    };
    manifests
        .iter()
        .filter(|manifest| !inherits(manifest))
        .map(|manifest| {
            let what = format!("{} does not take the workspace's lints", manifest.name);
            Finding::error(manifest.path, 1, what, "Add `[lints]` with `workspace = true`")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_its_own_lints_is_found() {
        let good = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n";
        let none = "[package]\nname = \"b\"\n";
        let own = "[package]\nname = \"c\"\n[lints.rust]\nunsafe_code = \"allow\"\n";
        let tree =
            Tree::sample(&[("crates/a/Cargo.toml", good), ("crates/b/Cargo.toml", none), ("crates/c/Cargo.toml", own)]);
        let found: Vec<String> = run(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["crates/b/Cargo.toml", "crates/c/Cargo.toml"]);
    }
}
