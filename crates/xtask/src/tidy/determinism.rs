//! What every replica computes must not depend on floats, clocks, chance or the order of a hash map.

use super::{
    Check,
    code::{self, Literals},
    finding::Finding,
    tree::{File, Tree},
};

pub(super) const CHECK: Check = Check { name: "determinism", run };

const FOLDERS: &[&str] = &["crates/fleet/src/", "crates/placement/src/", "crates/machine/src/"];

/// The one file that may hold a hash map, because it offers no iteration.
const LOOKUP: &str = "crates/fleet/src/lookup.rs";

const FLOAT: &str = "Use integers with the unit in the name (milli, bytes, ms)";
const CLOCK: &str = "Take the time from the entry's stamp";
const CHANCE: &str = "End ties on an id, or take the value from the entry";
const ORDER: &str = "Use a BTreeMap, or the fleet's Lookup, which cannot be iterated";

static WORDS: &[(&str, &str)] = &[
    ("f32", FLOAT),
    ("f64", FLOAT),
    ("SystemTime", CLOCK),
    ("Instant", CLOCK),
    ("rand", CHANCE),
    ("fastrand", CHANCE),
    ("HashMap", ORDER),
    ("HashSet", ORDER),
    ("hash_map", ORDER),
    ("hash_set", ORDER),
];

fn run(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in FOLDERS {
        let files: Vec<&File> = tree.rust().filter(|file| file.path.starts_with(folder)).collect();
        let for_tests: Vec<String> = files.iter().flat_map(|file| test_modules(file)).collect();
        let in_tests = |path: &str| {
            for_tests.iter().any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
        };
        for file in files.into_iter().filter(|file| !in_tests(&file.path)) {
            findings.extend(check(file));
        }
    }
    findings
}

fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let code = code::strip(&file.text, Literals::Blank);
    for (index, line) in code.lines().take(product_lines(&code)).enumerate() {
        for (column, word) in code::words(line) {
            if let Some(repair) = forbidden(line, column, word).filter(|why| *why != ORDER || file.path != LOOKUP) {
                let what = format!("'{word}' in code whose result every replica must agree on");
                findings.push(Finding::error(&file.path, index + 1, what, repair));
            }
        }
    }
    findings
}

/// What to do instead of `word`, when it must not stand there.
fn forbidden(line: &str, column: usize, word: &str) -> Option<&'static str> {
    let after = &line[column + word.len()..];
    let numeric = word.starts_with(|c: char| c.is_ascii_digit());
    // `1.5`, but neither `pair.0.1` nor `0..9` nor `1.max(2)`; and `2f64`.
    let fraction = after.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if numeric && ((fraction && !line[..column].ends_with('.')) || word.ends_with("f32") || word.ends_with("f64")) {
        return Some(FLOAT);
    }
    if word.ends_with("_f32") || word.ends_with("_f64") {
        return Some(FLOAT);
    }
    // `rand` alone may be a variable; the crate is a path.
    let is_path = after.starts_with("::");
    let (_, repair) = WORDS.iter().find(|(name, _)| *name == word && (is_path || !name.ends_with("rand")))?;
    Some(repair)
}

/// How many lines come before the tests at the end of a file.
fn product_lines(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let is_test_body = |pair: &[&str]| is_test_attribute(pair[0]) && pair[1].contains("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_test_body).unwrap_or(lines.len())
}

fn is_test_attribute(line: &str) -> bool {
    line == "#[cfg(test)]"
}

/// The modules in files of their own that only tests compile, as paths without `.rs`.
fn test_modules(file: &File) -> Vec<String> {
    let folder = match file.path.strip_suffix("/lib.rs") {
        Some(folder) => folder,
        None => file.path.trim_end_matches(".rs"),
    };
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| is_test_attribute(pair[0])).filter_map(|pair| {
        let (_, name) = pair[1].strip_suffix(';')?.split_once("mod ")?;
        Some(format!("{folder}/{name}"))
    });
    declared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        run(&Tree::sample(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    const BAD: &str = "\
fn a(x: f64) {}
let t = std::time::Instant::now();
let r = rand::random();
use std::collections::HashMap;
let y = 1.5;
let z = 2f32;
let w = took.as_secs_f64();
";

    #[test]
    fn every_source_of_divergence_is_found() {
        assert_eq!(lines("crates/machine/src/apply.rs", BAD), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(lines("crates/server/src/planner.rs", BAD), [0; 0], "other crates may");
    }

    #[test]
    fn integers_comments_and_strings_are_fine() {
        let text = "// f64\nlet a = \"Instant\";\nlet b = c.0.1 + 1.max(2);\nfor i in 0..9 {}\nlet rand = 7;\n";
        assert_eq!(lines("crates/fleet/src/host.rs", text), [0; 0]);
    }

    #[test]
    fn the_lookup_may_hold_a_hash_map_but_no_float() {
        assert_eq!(lines("crates/fleet/src/lookup.rs", BAD), [1, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn tests_may_use_anything() {
        let inline = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{BAD}}}\n");
        assert_eq!(lines("crates/fleet/src/host.rs", &inline), [0; 0]);
        let tree = Tree::sample(&[
            ("crates/fleet/src/lib.rs", "mod host;\n#[cfg(test)]\nmod oracle;\n"),
            ("crates/fleet/src/oracle.rs", BAD),
            ("crates/fleet/src/oracle/naive.rs", BAD),
            ("crates/fleet/src/host.rs", "fn b(x: f32) {}"),
        ]);
        let paths: Vec<String> = run(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["crates/fleet/src/host.rs"]);
    }
}
