//! No placeholders in code.

use super::{
    Check,
    code::{self, Literals},
    finding::Finding,
    tree::Tree,
};

pub(super) const CHECK: Check = Check { name: "unfinished", run };

static MACROS: &[(&str, &str)] = &[
    ("todo", "Write it, or leave the item out until it is written"),
    ("unimplemented", "Write it, or leave the item out until it is written"),
    ("dbg", "Delete it, or trace with a field"),
];

fn run(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (index, line) in code::strip(&file.text, Literals::Blank).lines().enumerate() {
            for (column, word) in code::words(line) {
                let called = line[column + word.len()..].starts_with('!');
                if let Some((name, repair)) = MACROS.iter().find(|(name, _)| called && *name == word) {
                    findings.push(Finding::error(&file.path, index + 1, format!("{name}! left in the code"), *repair));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_in_code_only() {
        let text =
            "fn a() { todo!() }\n// todo!()\nlet b = \"dbg!(x)\";\nstd::dbg!(b);\nlet dbg = !b;\nunimplemented![];\n";
        let lines: Vec<usize> = run(&Tree::sample(&[("a.rs", text)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 4, 6]);
    }
}
