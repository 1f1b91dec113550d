//! Chance that a seed decides: the same seed, the same course of events.

use std::time::Duration;

use fastrand::Rng;

/// A source of its own for each part of the simulation, so that a draw here moves nothing there.
#[derive(Debug)]
pub struct Chance(Rng);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Another source, which this one seeds.
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end)
    }

    /// True `permille` times in a thousand.
    pub fn permille(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// From `least` milliseconds to `most`, both included.
    pub fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.0.u64(least..=most))
    }

    /// One of `all`, where there is any.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        self.0.choice(all)
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        self.0.shuffle(all);
    }
}
