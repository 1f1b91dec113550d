//! Seeds that hold, seeds that are the same each time, and bugs that are found.

use std::collections::BTreeSet;

use gantry_sim::{Bug, Outcome, fault::FAULTS, run, scenario::SCENARIOS};

/// Enough for each scenario to come a few times.
const SEEDS: std::ops::Range<u64> = 0..18;
/// Within so many seeds a bug must be found.
const FOUND_WITHIN: u64 = 10;

fn told(outcome: &Outcome) -> String {
    let Outcome { seed, scenario, violations, .. } = outcome;
    format!("seed {seed}, {scenario}: {violations:#?}")
}

/// Seeds that found something once: a node that took itself for one of another cluster, and entries that a leader has where
/// its disk cannot be read.
#[test]
fn what_was_found_once_is_not_found_again() {
    for seed in [64, 711] {
        let outcome = run(seed, None);
        assert!(outcome.violations.is_empty(), "{}", told(&outcome));
    }
}

#[test]
fn every_promise_holds_and_every_fault_has_happened() {
    let (mut scenarios, mut happened) = (BTreeSet::new(), BTreeSet::new());
    for seed in SEEDS {
        let outcome = run(seed, None);
        assert!(outcome.violations.is_empty(), "{}", told(&outcome));
        assert!(outcome.ops > 100, "hardly anything was done: {}", outcome.trace);
        scenarios.insert(outcome.scenario);
        happened.extend(outcome.tally.into_keys());
    }
    assert_eq!(scenarios.len(), SCENARIOS.len());
    for fault in FAULTS {
        assert!(happened.contains(fault.name), "there was no {}", fault.name);
    }
    for what in
        ["elections", "asked again", "asked twice at once", "lost answers", "snapshots installed", "nodes replaced"]
    {
        assert!(happened.contains(what), "there were no {what}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_each_time() {
    for seed in 100..100 + SCENARIOS.len() as u64 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert!(first.trace == second.trace, "seed {seed} went two ways: {}", first_difference(&first, &second));
        assert!(first.trace.lines().count() > 500, "there is little to compare");
    }
    assert_ne!(
        run(100, None).trace,
        run(100 + SCENARIOS.len() as u64, None).trace,
        "another seed is another course of events"
    );
}

fn first_difference(first: &Outcome, second: &Outcome) -> String {
    let mut pairs = first.trace.lines().zip(second.trace.lines());
    pairs.find(|(a, b)| a != b).map_or_else(|| "one is longer".to_owned(), |(a, b)| format!("{a:?} and {b:?}"))
}

/// What is reported of the first seed that finds `bug`.
fn found(bug: Bug) -> &'static str {
    let found = (0..FOUND_WITHIN).find_map(|seed| run(seed, Some(bug)).violations.first().map(|found| found.invariant));
    found.unwrap_or_else(|| panic!("{bug:?} was not found in {FOUND_WITHIN} seeds"))
}

#[test]
fn an_answer_before_the_sync_is_found() {
    let found = found(Bug::AnswerBeforeSync);
    assert!(["committed on a quorum", "election safety", "acknowledged is kept"].contains(&found), "{found}");
}

#[test]
fn a_vote_that_is_not_durable_is_found() {
    assert_eq!(found(Bug::VoteNotDurable), "election safety");
}

#[test]
fn a_server_that_forgets_request_ids_is_found() {
    assert_eq!(found(Bug::DedupeOff), "exactly once");
}

#[test]
fn a_host_that_is_promised_twice_is_found() {
    assert_eq!(found(Bug::CapacityCheckOff), "no oversubscription");
}
