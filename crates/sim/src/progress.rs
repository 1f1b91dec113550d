//! How far it is, on standard error: a line that is written over on a terminal, now and then a line elsewhere.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::Mutex,
    time::{Duration, Instant},
};

use gantry_sim::Outcome;

const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(10);

pub(crate) struct Progress {
    all: u64,
    begun: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    seeds: u64,
    simulated_ms: u64,
    violations: u64,
    told: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(all: u64, begun: Instant) -> Self {
        Self { all, begun, seen: Mutex::default() }
    }

    pub(crate) fn done(&self, outcome: &Outcome) {
        let mut seen = self.seen.lock().expect("nothing panics while it holds the counts");
        seen.seeds += 1;
        seen.simulated_ms += outcome.simulated_ms;
        seen.violations += u64::from(!outcome.violations.is_empty());
        let every = if stderr().is_terminal() { ON_TERMINAL } else { ELSEWHERE };
        if seen.told.is_none_or(|told| told.elapsed() >= every) {
            seen.told = Some(Instant::now());
            self.tell(&seen);
        }
    }

    pub(crate) fn end(&self, is_late: bool) {
        let seen = self.seen.lock().expect("nothing panics while it holds the counts");
        self.tell(&seen);
        if stderr().is_terminal() {
            eprintln!();
        }
        if is_late && seen.seeds < self.all {
            eprintln!("the time is over after {} of {} seeds", seen.seeds, self.all);
        }
    }

    fn tell(&self, seen: &Seen) {
        let speed = seen.simulated_ms as f64 / 1e3 / self.begun.elapsed().as_secs_f64().max(1e-3);
        let (before, after) = if stderr().is_terminal() { ("\r\x1b[K", "") } else { ("", "\n") };
        let Seen { seeds, violations, .. } = seen;
        let line = format!(
            "{before}{seeds} of {} seeds, {speed:.0} times real time, {violations} violations{after}",
            self.all
        );
        // Nobody reads it where it cannot be written.
        let _ = stderr().write_all(line.as_bytes());
    }
}
