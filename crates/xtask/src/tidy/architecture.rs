//! ARCHITECTURE.md stays short, and what it names in backticks is there.

use super::{
    Check,
    code::{self, Literals, is_word},
    finding::Finding,
    tree::Tree,
};

pub(super) const CHECK: Check = Check { name: "architecture", run };

const FILE: &str = "ARCHITECTURE.md";
const MAX_LINES: usize = 149;

/// Made by a build, so not in the tree.
const OUTPUTS: &[&str] = &["target/"];

/// What a name with one of these endings is, even when it names no folder.
const FILE_ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".proto", ".json", ".yaml", ".yml", ".sh", ".service"];

fn run(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(FILE) else {
        return vec![Finding::error(
            FILE,
            1,
            "the file is missing",
            "Write it: picture, flow, a line a crate, invariants",
        )];
    };
    let mut findings = Vec::new();
    let count = file.text.lines().count();
    if count > MAX_LINES {
        let what = format!("{count} lines, {MAX_LINES} at most");
        findings.push(Finding::error(FILE, MAX_LINES + 1, what, "Shorten it; details live beside the code"));
    }
    let code = Code::of(tree);
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            for name in backticked(line).filter_map(|span| missing(tree, &code, span)) {
                let what = format!("`{name}` is named here but is nowhere in the tree");
                findings.push(Finding::error(FILE, index + 1, what, "Correct the name, or drop it"));
            }
        }
    }
    findings
}

/// Everything but prose: what a name in ARCHITECTURE.md may refer to.
struct Code(Vec<String>);

impl Code {
    fn of(tree: &Tree) -> Self {
        let files = tree.files().iter().filter(|file| !file.path.ends_with(".md"));
        Self(
            files
                .map(|file| match file.path.ends_with(".rs") {
                    true => code::strip(&file.text, Literals::Keep),
                    false => file.text.clone(),
                })
                .collect(),
        )
    }

    fn names(&self, name: &str) -> bool {
        self.0.iter().any(|text| {
            text.match_indices(name).any(|(start, _)| {
                let before = text[..start].chars().next_back();
                let after = text[start + name.len()..].chars().next();
                !before.is_some_and(is_word) && !after.is_some_and(is_word)
            })
        })
    }
}

/// The parts of a line between single backticks.
fn backticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|span| !span.is_empty())
}

/// The part of a backticked span that should be in the tree and is not.
fn missing<'s>(tree: &Tree, code: &Code, span: &'s str) -> Option<&'s str> {
    let several = span.contains(char::is_whitespace);
    let mut parts = span.split_whitespace();
    // A command line or a signature: only its paths are looked at.
    parts.find(|part| if several { is_path(tree, part) && !has_path(tree, part) } else { !exists(tree, code, part) })
}

fn exists(tree: &Tree, code: &Code, name: &str) -> bool {
    // `tests/cluster.rs::name_of_a_test`
    if let Some((file, item)) = name.split_once(".rs::") {
        return has_path(tree, &format!("{file}.rs")) && exists(tree, code, item);
    }
    if is_path(tree, name) {
        return has_path(tree, name);
    }
    let plain = name.trim_end_matches("()").trim_end_matches('!').trim_start_matches("--");
    if !plain.chars().all(|c| is_word(c) || ['-', ':', '.', '/'].contains(&c)) {
        return true;
    }
    code.names(plain) || plain.split(['.', ':', '/']).filter(|word| !word.is_empty()).all(|word| code.names(word))
}

fn is_path(tree: &Tree, name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    let output = OUTPUTS.iter().any(|output| name.starts_with(output));
    !name.starts_with('/')
        && (output
            || name.ends_with('/')
            || FILE_ENDINGS.iter().any(|ending| name.ends_with(ending))
            || (name.contains('/') && (first == "crates" || tree.has(first))))
}

fn has_path(tree: &Tree, name: &str) -> bool {
    if OUTPUTS.iter().any(|output| name.starts_with(output)) {
        return true;
    }
    // `crates/*/src` says that there is a `crates`.
    let fixed = name.split('*').next().unwrap_or_default();
    let path = fixed.trim_end_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if first == "crates" || tree.has(first) { tree.has(path) } else { path.is_empty() || tree.has_somewhere(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that are reported for this text, in a small tree.
    fn reported(text: &str) -> Vec<String> {
        let tree = Tree::sample(&[
            ("ARCHITECTURE.md", text),
            ("README.md", "`only_in_prose`"),
            ("crates/fleet/Cargo.toml", "name = \"gantry-fleet\""),
            ("crates/fleet/src/check.rs", "// only_in_a_comment\npub struct Fleet;\nfn check() { h(\"gantry-read\") }"),
            ("crates/fleet/src/constraint/gpu.rs", "#[test]\nfn gpu_is_shared_with_nobody() {}"),
            ("tests/cluster.rs", "fn survives_a_killed_leader() {}"),
        ]);
        let quoted = |finding: &Finding| finding.what.split('`').nth(1).map(str::to_owned);
        run(&tree).iter().filter_map(quoted).collect()
    }

    #[test]
    fn names_that_are_gone_are_reported() {
        let text = "`crates/agent`, `crates/fleet/src/gone.rs` `Florp`\n`survives_a_power_cut` `tests/cluster.rs::gone`\n\
                    `only_in_prose` `only_in_a_comment` `run crates/gone/x.sh now` `gone.toml` `Fleet::gone`\n";
        let expected = [
            "crates/agent",
            "crates/fleet/src/gone.rs",
            "Florp",
            "survives_a_power_cut",
            "tests/cluster.rs::gone",
            "only_in_prose",
            "only_in_a_comment",
            "crates/gone/x.sh",
            "gone.toml",
            "Fleet::gone",
        ];
        assert_eq!(reported(text), expected);
    }

    #[test]
    fn names_that_are_there_pass() {
        let text = "`crates/fleet`, `crates/*`, `crates/fleet/src/check.rs`, `constraint/`, `gpu.rs`, `check()`, `Fleet`,\n\
                    `Fleet::check`, `gpu_is_shared_with_nobody`, `tests/cluster.rs::survives_a_killed_leader`,\n\
                    `gantry-fleet`, `gantry-read`, `cargo xtask demo`, `a <- b`, `target/demo/report.html`\n\
                    ```\n`NotThere` in a picture\n```\n";
        assert_eq!(reported(text), [""; 0]);
    }

    #[test]
    fn it_must_be_there_and_short() {
        assert_eq!(run(&Tree::sample(&[])).len(), 1);
        assert_eq!(run(&Tree::sample(&[(FILE, &"line\n".repeat(149))])), []);
        assert_eq!(run(&Tree::sample(&[(FILE, &"line\n".repeat(150))])).len(), 1);
    }
}
