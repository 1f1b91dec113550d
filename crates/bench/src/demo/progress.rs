//! One line a step on stderr: a bar while it runs, a tick and the time when it is done.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(80);

/// Where steps are shown; nowhere for programs.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    hidden: bool,
}

impl Steps {
    pub fn new(hidden: bool) -> Self {
        Self { hidden }
    }

    /// Begins a step of `length` parts.
    pub fn begin(self, what: &str, length: usize) -> Step {
        let target = if self.hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(length as u64), target);
        let style = ProgressStyle::with_template("  {spinner:.cyan} {msg:<34} {bar:36.cyan/238} {pos:>6}/{len}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("━━╌").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(REDRAW);
        Step { bar, silent: self.hidden, what: what.to_owned(), started: Instant::now() }
    }
}

/// A step that runs.
#[derive(Debug)]
pub struct Step {
    bar: ProgressBar,
    silent: bool,
    what: String,
    started: Instant,
}

impl Step {
    pub fn at(&self, position: usize) {
        self.bar.set_position(position as u64);
    }

    /// Ends it with what came of it.
    pub fn done(self, result: impl AsRef<str>) {
        let seconds = self.started.elapsed().as_secs_f64();
        let line = format!("  ✓ {:<34} {} ({seconds:.1} s)", self.what, result.as_ref());
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
        if !self.silent {
            eprintln!("{line}");
        }
    }
}
