//! The `Cargo.toml` files of the workspace's crates.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{finding::Finding, tree::Tree};

pub(super) const ROOT: &str = "Cargo.toml";

pub(super) struct Manifest<'t> {
    pub(super) path: &'t str,
    pub(super) text: &'t str,
    pub(super) table: Table,
    pub(super) name: String,
}

/// One dependency as a manifest names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) package: String,
    pub(super) kind: Kind,
    /// From 1.
    pub(super) line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Build,
    Dev,
}

const KINDS: &[(&str, Kind)] =
    &[("dependencies", Kind::Normal), ("build-dependencies", Kind::Build), ("dev-dependencies", Kind::Dev)];

/// Every package's manifest; one that cannot be read becomes a finding.
pub(super) fn all(tree: &Tree) -> (Vec<Manifest<'_>>, Vec<Finding>) {
    let mut manifests = Vec::new();
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        match file.text.parse::<Table>() {
            Err(error) => findings.push(Finding::error(
                &file.path,
                error.span().map_or(1, |span| line_at(&file.text, span.start)),
                format!("not valid TOML: {}", error.message()),
                "Repair it",
            )),
            Ok(table) => {
                let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
                if let Some(name) = name.map(str::to_owned) {
                    manifests.push(Manifest { path: &file.path, text: &file.text, table, name });
                }
            }
        }
    }
    (manifests, findings)
}

/// Names that `[workspace.dependencies]` gives to packages of another name.
pub(super) fn workspace_renames(tree: &Tree) -> BTreeMap<String, String> {
    let table = tree.file(ROOT).and_then(|file| file.text.parse::<Table>().ok()).unwrap_or_default();
    let dependencies = table.get("workspace").and_then(|w| w.get("dependencies")).and_then(Value::as_table);
    let renamed = |(key, value): (&String, &Value)| Some((key.clone(), value.get("package")?.as_str()?.to_owned()));
    dependencies.into_iter().flatten().filter_map(renamed).collect()
}

impl Manifest<'_> {
    /// Dependencies of every kind, those of `[target.*]` included.
    pub(super) fn dependencies(&self, renames: &BTreeMap<String, String>) -> Vec<Dependency> {
        let targets = self.table.get("target").and_then(Value::as_table).into_iter().flatten();
        let tables = std::iter::once(&self.table).chain(targets.filter_map(|(_, target)| target.as_table()));
        let mut found = Vec::new();
        for table in tables {
            for (section, kind) in KINDS {
                for (key, value) in table.get(*section).and_then(Value::as_table).into_iter().flatten() {
                    let renamed = value.get("package").and_then(Value::as_str);
                    let package = renamed.or(renames.get(key).map(String::as_str)).unwrap_or(key).to_owned();
                    found.push(Dependency { package, kind: *kind, line: self.line_of(section, key) });
                }
            }
        }
        found
    }

    /// The line of `key` in the first section whose name ends in `section`; the file's first line when it is hidden.
    fn line_of(&self, section: &str, key: &str) -> usize {
        let mut inside = false;
        for (index, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[') {
                let header = header.trim_end_matches(']');
                inside = header == section || header.ends_with(&format!(".{section}"));
                if header.ends_with(&format!("{section}.{key}")) {
                    return index + 1;
                }
            } else if inside && line.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '='])) {
                return index + 1;
            }
        }
        1
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_every_kind_are_seen_with_their_lines() {
        let text = "\
[package]
name = \"a\"

[dependencies]
short.workspace = true
other = { package = \"real\", version = \"1\" }

[target.'cfg(unix)'.dev-dependencies]
late = \"1\"

[build-dependencies.long]
path = \"../long\"
";
        let root = "[workspace.dependencies]\nshort = { package = \"gantry-short\", path = \"x\" }\n";
        let tree = Tree::sample(&[("crates/a/Cargo.toml", text), ("Cargo.toml", root)]);
        let (manifests, findings) = all(&tree);
        assert_eq!(findings, []);
        let mut seen = manifests[0].dependencies(&workspace_renames(&tree));
        seen.sort_by_key(|dependency| dependency.line);
        let expected = [
            ("gantry-short", Kind::Normal, 5),
            ("real", Kind::Normal, 6),
            ("late", Kind::Dev, 9),
            ("long", Kind::Build, 11),
        ];
        let expected = expected.map(|(package, kind, line)| Dependency { package: package.to_owned(), kind, line });
        assert_eq!(seen, expected);
    }

    #[test]
    fn broken_toml_is_a_finding() {
        let tree = Tree::sample(&[("crates/a/Cargo.toml", "[package]\nname = \n")]);
        let (_, findings) = all(&tree);
        assert_eq!((findings.len(), findings[0].line), (1, 2));
    }
}
