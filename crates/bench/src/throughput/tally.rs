//! What a load counted.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result};
use gantry_proto::{reason, v1::ErrorDetail};
use hdrhistogram::Histogram;

use super::wire::Reserved;

/// Latencies are kept in microseconds, up to a minute, with three digits.
const MOST_US: u64 = 60_000_000;

#[derive(Debug)]
pub struct Tally {
    pub placed: u64,
    pub released: u64,
    /// "No capacity": an honest answer, but the load is meant to leave room.
    pub no_capacity: u64,
    /// Refused before anything was proposed because a queue was full.
    pub overloaded: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// From sending a request to reading its answer; only those answered while measuring.
    pub latency: Histogram<u64>,
    /// Acknowledged and not given to a release yet, oldest first.
    pub standing: VecDeque<Reserved>,
    /// Given to a release that was not answered, or not well: may stand or not.
    pub in_doubt: Vec<u64>,
}

/// An empty histogram of microseconds.
pub fn latencies() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, MOST_US, 3).context("the histogram's bounds are wrong")
}

impl Tally {
    pub fn new() -> Result<Self> {
        Ok(Self {
            placed: 0,
            released: 0,
            no_capacity: 0,
            overloaded: 0,
            errors: 0,
            first_error: None,
            latency: latencies()?,
            standing: VecDeque::new(),
            in_doubt: Vec::new(),
        })
    }

    pub fn placed(&mut self, reservations: &[Reserved], took: Duration) {
        self.placed += reservations.len() as u64;
        self.standing.extend(reservations);
        self.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(MOST_US).max(1));
    }

    pub fn failed(&mut self, detail: &ErrorDetail, message: &str) {
        match detail.reason.as_str() {
            reason::NO_CAPACITY => self.no_capacity += 1,
            reason::OVERLOADED => self.overloaded += 1,
            reason => self.error(|| format!("{reason} {message}")),
        }
    }

    pub fn error(&mut self, what: impl FnOnce() -> String) {
        self.errors += 1;
        self.first_error.get_or_insert_with(what);
    }

    /// Starts the measured part: what was counted while filling up does not count, what stands stays.
    pub fn restart(&mut self) {
        (self.placed, self.released, self.no_capacity, self.overloaded, self.errors) = (0, 0, 0, 0, 0);
        self.latency.reset();
    }

    pub fn add(&mut self, other: Self) -> Result<()> {
        self.placed += other.placed;
        self.released += other.released;
        self.no_capacity += other.no_capacity;
        self.overloaded += other.overloaded;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.latency.add(&other.latency).context("histograms of different bounds")?;
        self.standing.extend(other.standing);
        self.in_doubt.extend(other.in_doubt);
        Ok(())
    }
}
