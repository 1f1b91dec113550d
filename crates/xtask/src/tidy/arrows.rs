//! Which crate may depend on which, as the design has it.

use std::collections::BTreeSet;

use super::{
    Check,
    finding::Finding,
    manifest::{self, Dependency, Kind, Manifest},
    tree::Tree,
};

pub(super) const CHECK: Check = Check { name: "arrows", run };

/// Each crate and the crates of this workspace that it may use. Tests may also use what those use in turn.
static ALLOWED: &[(&str, &[&str])] = &[
    ("gantry-types", &[]),
    ("gantry-fleet", &["gantry-types"]),
    ("gantry-placement", &["gantry-types", "gantry-fleet"]),
    ("gantry-machine", &["gantry-types", "gantry-fleet", "gantry-placement"]),
    ("gantry-proto", &["gantry-types"]),
    ("gantry-store", &["gantry-types", "gantry-fleet", "gantry-placement", "gantry-machine"]),
    ("gantry-consensus", &["gantry-types", "gantry-fleet", "gantry-machine", "gantry-store", "gantry-proto"]),
    ("gantry-server", SERVER),
    ("gantry-client", &["gantry-types", "gantry-proto"]),
    ("gantry-oci", &["gantry-types"]),
    ("gantry-agent", &["gantry-types", "gantry-proto", "gantry-client", "gantry-oci"]),
    // What it does with a data directory offline is the store's. Its black-box tests start clusters and audit them with the
    // bench.
    ("gantry-cli", CLI),
    // It measures the planner and the layer index in its own process.
    ("gantry-bench", &["gantry-types", "gantry-fleet", "gantry-placement", "gantry-proto", "gantry-client"]),
    ("gantry-sim", SIM),
    ("xtask", &[]),
];

const CLI: &[&str] =
    &["gantry-types", "gantry-proto", "gantry-client", "gantry-agent", "gantry-server", "gantry-store", "gantry-bench"];

const SERVER: &[&str] = &[
    "gantry-types",
    "gantry-fleet",
    "gantry-placement",
    "gantry-machine",
    "gantry-proto",
    "gantry-oci",
    "gantry-store",
    "gantry-consensus",
];

/// All that a member is made of, and nothing that only talks to one.
const SIM: &[&str] = &[
    "gantry-types",
    "gantry-fleet",
    "gantry-machine",
    "gantry-proto",
    "gantry-store",
    "gantry-consensus",
    "gantry-server",
];

/// Foreign packages that one crate hides from all others.
static ONLY: &[(&str, &[&str])] = &[
    ("gantry-store", &["rocksdb", "librocksdb-sys"]),
    ("gantry-consensus", &["openraft", "openraft-rt", "openraft-rt-tokio", "openraft-macros"]),
];

/// Crates without I/O, clock, chance or async, and the packages that would bring those in.
static PURE: &[&str] = &["gantry-types", "gantry-fleet", "gantry-placement", "gantry-machine"];
static IMPURE: &[&str] =
    &["async-stream", "chrono", "fastrand", "futures", "parking_lot", "rand", "tempfile", "time", "tokio", "tonic"];

fn run(tree: &Tree) -> Vec<Finding> {
    let (manifests, mut findings) = manifest::all(tree);
    let renames = manifest::workspace_renames(tree);
    let ours: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    for manifest in &manifests {
        let Some(allowed) = allowed(&manifest.name) else {
            findings.push(Finding::error(
                manifest.path,
                1,
                format!("crate {} has no line in the table of allowed dependencies", manifest.name),
                format!("Add it to ALLOWED in {}", file!()),
            ));
            continue;
        };
        for dependency in manifest.dependencies(&renames) {
            findings.extend(if ours.contains(dependency.package.as_str()) {
                inner(manifest, &dependency, allowed)
            } else {
                foreign(manifest, &dependency)
            });
        }
    }
    findings
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ALLOWED.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, allowed)| *allowed)
}

fn inner(manifest: &Manifest, dependency: &Dependency, allowed: &[&str]) -> Option<Finding> {
    let package = dependency.package.as_str();
    // A crate's tests may depend on the crate itself, to switch a feature on.
    let in_tests = dependency.kind == Kind::Dev && (package == manifest.name || reaches(allowed, package));
    if allowed.contains(&package) || in_tests {
        return None;
    }
    Some(Finding::error(
        manifest.path,
        dependency.line,
        format!("{} must not depend on {package}", manifest.name),
        format!("It may use: {}. Move what is needed into one of these", list(allowed)),
    ))
}

fn reaches(from: &[&str], package: &str) -> bool {
    from.iter().any(|name| *name == package || allowed(name).is_some_and(|next| reaches(next, package)))
}

fn foreign(manifest: &Manifest, dependency: &Dependency) -> Option<Finding> {
    let package = dependency.package.as_str();
    let error = |what, repair| Some(Finding::error(manifest.path, dependency.line, what, repair));
    if let Some((owner, _)) = ONLY.iter().find(|(owner, hidden)| *owner != manifest.name && hidden.contains(&package)) {
        let what = format!("only {owner} may name {package}");
        return error(what, format!("Use {owner}'s own types; what is missing there is added there"));
    }
    if dependency.kind != Kind::Dev && PURE.contains(&manifest.name.as_str()) && IMPURE.contains(&package) {
        let what = format!("{} is pure (no I/O, clock, chance, async) and must not depend on {package}", manifest.name);
        return error(
            what,
            "Decide here, perform outside: take the input as a value, return the effect as one".to_owned(),
        );
    }
    None
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "no crate of the workspace".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings as `line: what`, for a workspace in which `name` has these dependency lines.
    fn findings(name: &str, dependencies: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n{dependencies}");
        let mut files = vec![("crates/it/Cargo.toml".to_owned(), text)];
        for (other, _) in ALLOWED.iter().filter(|(other, _)| *other != name) {
            files.push((format!("crates/{other}/Cargo.toml"), format!("[package]\nname = \"{other}\"\n")));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        run(&Tree::sample(&files)).iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn an_arrow_against_the_design_is_found() {
        let up =
            findings("gantry-fleet", "[dependencies]\ngantry-types.workspace = true\ngantry-store.workspace = true\n");
        assert_eq!(up, ["5: gantry-fleet must not depend on gantry-store"]);
        assert_eq!(findings("gantry-bench", "[dependencies]\ngantry-server.workspace = true\n").len(), 1);
        assert_eq!(findings("gantry-cli", "[dependencies]\ngantry-server.workspace = true\n"), [""; 0]);
    }

    #[test]
    fn tests_may_use_what_is_further_below_but_nothing_above() {
        assert_eq!(findings("gantry-consensus", "[dependencies]\ngantry-placement.workspace = true\n").len(), 1);
        assert_eq!(findings("gantry-consensus", "[dev-dependencies]\ngantry-placement.workspace = true\n"), [""; 0]);
        assert_eq!(findings("gantry-fleet", "[dev-dependencies]\ngantry-fleet = { path = \".\" }\n"), [""; 0]);
        assert_eq!(findings("gantry-fleet", "[dev-dependencies]\ngantry-machine.workspace = true\n").len(), 1);
    }

    #[test]
    fn hidden_packages_are_named_by_their_crate_only() {
        assert_eq!(findings("gantry-store", "[dependencies]\nrocksdb.workspace = true\n"), [""; 0]);
        let server = findings("gantry-server", "[dependencies]\nrocksdb = \"1\"\nopenraft = \"1\"\n");
        let expected = ["5: only gantry-consensus may name openraft", "4: only gantry-store may name rocksdb"];
        assert_eq!(server, expected, "in the order of the names");
    }

    #[test]
    fn pure_crates_stay_pure() {
        assert_eq!(findings("gantry-machine", "[dependencies]\ntokio.workspace = true\n").len(), 1);
        assert_eq!(findings("gantry-machine", "[dev-dependencies]\nfastrand.workspace = true\n"), [""; 0]);
    }

    #[test]
    fn a_crate_without_a_line_in_the_table_is_found() {
        assert_eq!(findings("gantry-utils", "").len(), 1);
    }
}
