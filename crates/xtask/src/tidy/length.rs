//! Files that one can read in one go.

use super::{Check, finding::Finding, tree::Tree};

pub(super) const CHECK: Check = Check { name: "length", run };

const WARN_LINES: usize = 500;
const MAX_LINES: usize = 800;

/// Written by hand and read by people; data and generated files may be long.
const ENDINGS: &[&str] = &[".rs", ".proto", ".sh", ".py"];

fn run(tree: &Tree) -> Vec<Finding> {
    let source = tree.files().iter().filter(|file| ENDINGS.iter().any(|ending| file.path.ends_with(ending)));
    source
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let repair = "Split it along its nouns, one main type a file";
            if lines > MAX_LINES {
                Some(Finding::error(&file.path, MAX_LINES + 1, format!("{lines} lines, {MAX_LINES} at most"), repair))
            } else if lines > WARN_LINES {
                let what = format!("{lines} lines, think at {WARN_LINES}");
                Some(Finding::warning(&file.path, WARN_LINES + 1, what, repair))
            } else {
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn long_files_are_found() {
        let of = "fn f() {}\n";
        let tree = Tree::sample(&[
            ("a.rs", &of.repeat(500)),
            ("b.rs", &of.repeat(501)),
            ("c.rs", &of.repeat(800)),
            ("d.rs", &of.repeat(801)),
            ("e.json", &of.repeat(9000)),
        ]);
        let found: Vec<(String, Level)> = run(&tree).into_iter().map(|finding| (finding.path, finding.level)).collect();
        let expected = [("b.rs", Level::Warning), ("c.rs", Level::Warning), ("d.rs", Level::Error)];
        assert_eq!(found, expected.map(|(path, level)| (path.to_owned(), level)));
    }
}
