//! What a check says about one line.

/// Whether a finding fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// Relative to the clone's root.
    pub(super) path: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) what: String,
    /// What to do about it.
    pub(super) repair: String,
}

impl Finding {
    pub(super) fn error(path: &str, line: usize, what: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { level: Level::Error, path: path.to_owned(), line, what: what.into(), repair: repair.into() }
    }

    pub(super) fn warning(path: &str, line: usize, what: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(path, line, what, repair) }
    }

    /// `crates/x/src/y.rs:7: error(words): what. What to do.`
    pub(super) fn line(&self, check: &str) -> String {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        format!("{}:{}: {level}({check}): {}. {}.", self.path, self.line, self.what, self.repair)
    }
}
