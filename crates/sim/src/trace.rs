//! What happened, line by line, each with its simulated time. Two runs of one seed give the same bytes.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Trace {
    begun: Instant,
    lines: Arc<Mutex<String>>,
}

impl Trace {
    /// Time begins now.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), lines: Arc::default() }
    }

    pub fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    pub fn line(&self, what: impl AsRef<str>) {
        use std::fmt::Write;
        let mut lines = self.lines.lock();
        writeln!(lines, "{:>7} {}", self.now_ms(), what.as_ref()).expect("writing to a string cannot fail");
    }

    pub fn text(&self) -> String {
        self.lines.lock().clone()
    }
}
