//! Words that must not be in any tracked text file.
//!
//! The words are put together from halves, so that this file passes its own check.

use super::{Check, code::is_word, finding::Finding, tree::Tree};

pub(super) const CHECK: Check = Check { name: "words", run };

struct Forbidden {
    text: &'static str,
    /// Whether the word is forbidden inside `line` at the byte range that matched.
    counts: fn(before: Option<char>, after: Option<char>) -> bool,
    repair: &'static str,
}

const LATER: &str = "Do it now, or write an issue";
const MACHINE: &str = "Use a path relative to the clone, or one that the caller gives";
const REGISTRY: &str = "Say \"the package registry\": hosts differ from place to place";

static FORBIDDEN: &[Forbidden] = &[
    Forbidden { text: concat!("TO", "DO"), counts: whole_word, repair: LATER },
    Forbidden { text: concat!("FIX", "ME"), counts: whole_word, repair: LATER },
    Forbidden { text: concat!("XX", "X"), counts: whole_word, repair: LATER },
    Forbidden { text: concat!("/ro", "ot/"), counts: starts_path, repair: MACHINE },
    Forbidden { text: concat!("/wo", "rk/"), counts: starts_path, repair: MACHINE },
    Forbidden { text: concat!("crates", ".io"), counts: whole_word, repair: REGISTRY },
    Forbidden { text: concat!("pypi", ".org"), counts: whole_word, repair: REGISTRY },
    Forbidden { text: concat!("pythonhosted", ".org"), counts: whole_word, repair: REGISTRY },
    Forbidden { text: concat!("registry.npmjs", ".org"), counts: whole_word, repair: REGISTRY },
    Forbidden { text: concat!("proxy.golang", ".org"), counts: whole_word, repair: REGISTRY },
    Forbidden { text: concat!("deb.debian", ".org"), counts: whole_word, repair: REGISTRY },
];

/// Written by cargo, which names the registry of every package there.
const GENERATED: &[&str] = &["Cargo.lock"];

fn whole_word(before: Option<char>, after: Option<char>) -> bool {
    !before.is_some_and(is_word) && !after.is_some_and(is_word)
}

/// An absolute path, not the middle of a longer one or of an expression that ends in a folder.
fn starts_path(before: Option<char>, _after: Option<char>) -> bool {
    !before.is_some_and(|c| is_word(c) || ['.', '-', '~', '}', ')', '*', '/'].contains(&c))
}

fn run(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| !GENERATED.contains(&file.path.as_str())) {
        for (index, line) in file.text.lines().enumerate() {
            for forbidden in FORBIDDEN.iter().filter(|forbidden| occurs(line, forbidden)) {
                let what = format!("'{}' must not be in the repository", forbidden.text);
                findings.push(Finding::error(&file.path, index + 1, what, forbidden.repair));
            }
        }
    }
    findings
}

fn occurs(line: &str, forbidden: &Forbidden) -> bool {
    line.match_indices(forbidden.text).any(|(start, text)| {
        (forbidden.counts)(line[..start].chars().next_back(), line[start + text.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        run(&Tree::sample(&[("README.md", text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn forbidden_words_are_found_in_text_of_any_kind() {
        let sample = concat!(
            "a TO",
            "DO\n// FIX",
            "ME: b\nXX",
            "X c\nin /ro",
            "ot/x\n\"/wo",
            "rk/y\"\nsee https://static.crates",
            ".io/z\n"
        );
        assert_eq!(lines(sample), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn longer_words_and_relative_paths_are_fine() {
        assert_eq!(
            lines(concat!("mktemp a.XX", "XXXX\nTO", "DOS\n$HOME/wo", "rk/x\n{dir}/ro", "ot/y\nmycrates", ".iox\n")),
            [0; 0]
        );
    }

    #[test]
    fn every_word_is_found_by_itself() {
        for forbidden in FORBIDDEN {
            assert_eq!(lines(forbidden.text), [1], "{}", forbidden.text);
        }
    }
}
