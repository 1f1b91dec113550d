//! The files of the clone: what git tracks, and what it would track after `git add`.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

pub(super) struct File {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    /// Empty for files that are not text.
    pub(super) text: String,
}

pub(super) struct Tree {
    files: Vec<File>,
    folders: BTreeSet<String>,
}

impl Tree {
    pub(super) fn of_clone(root: &Path) -> Result<Self> {
        let output = Command::new("git")
            .current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("starting git ls-files")?;
        ensure!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        let list = String::from_utf8(output.stdout).context("a tracked file's name is not UTF-8: rename it")?;
        let paths: BTreeSet<&str> = list.split('\0').filter(|path| !path.is_empty()).collect();
        let mut files = Vec::new();
        for path in paths {
            let full = root.join(path);
            // Deleted but not yet staged, or a link to a folder: nothing to read.
            if full.is_file() {
                let bytes = fs::read(&full).with_context(|| format!("reading {path}"))?;
                files.push(File { path: path.to_owned(), text: String::from_utf8(bytes).unwrap_or_default() });
            }
        }
        Ok(Self::new(files))
    }

    fn new(files: Vec<File>) -> Self {
        let mut folders = BTreeSet::new();
        for file in &files {
            let mut path = file.path.as_str();
            while let Some((folder, _)) = path.rsplit_once('/') {
                folders.insert(folder.to_owned());
                path = folder;
            }
        }
        Self { files, folders }
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// Whether there is a file or folder of exactly this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.folders.contains(path) || self.file(path).is_some()
    }

    /// Whether a file or folder ends in these components, wherever it lies.
    pub(super) fn has_somewhere(&self, path: &str) -> bool {
        let tail = format!("/{path}");
        self.has(path)
            || self.folders.iter().any(|folder| folder.ends_with(&tail))
            || self.files.iter().any(|file| file.path.ends_with(&tail))
    }
}

#[cfg(test)]
impl Tree {
    pub(super) fn sample(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| File { path: path.to_string(), text: text.to_string() }).collect())
    }
}
