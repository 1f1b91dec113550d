//! Runs a script against the oracle, one entry at a time.

use gantry_machine::{Entry, Kind};
use proptest::test_runner::{Config, RngSeed};

use crate::{
    oracle::{Oracle, Predicted},
    script::{self, EntryStep},
};

/// Hands out a script's entries, each with what the oracle says of its commands.
#[derive(Default)]
pub struct Run {
    pub oracle: Oracle,
    history: Vec<Kind>,
    rev: u64,
    clock: i64,
}

impl Run {
    pub fn next(&mut self, entry: &EntryStep) -> (u64, Entry, Vec<Predicted>) {
        // Gaps, as other kinds of log entries leave them.
        self.rev += 1 + self.rev % 2;
        self.clock = (self.clock + entry.clock).max(0);
        let stamp = self.clock as u64;
        self.oracle.begin(self.rev, stamp);
        let mut kinds = Vec::new();
        let mut predicted = Vec::new();
        for step in &entry.steps {
            let kind = script::command(step, &self.oracle, &self.history);
            predicted.push(self.oracle.apply(&kind));
            self.history.push(kind.clone());
            kinds.push(kind);
        }
        self.oracle.finish(kinds.len());
        let commands = script::commands(kinds);
        let entry = Entry::new(stamp, 7, self.rev, commands);
        (self.rev, entry, predicted)
    }
}

/// The same scripts at every run; a failing one is named by the seed in this file.
pub fn config(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(0x6741_6e74_7279), failure_persistence: None, ..Config::default() }
}
