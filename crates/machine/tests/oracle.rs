//! The fleet under random commands does what a naive model of it does, and a fleet whose apply is broken is caught.
#![allow(clippy::unwrap_used)]

#[path = "support/compare.rs"]
mod compare;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/run.rs"]
mod run;
#[path = "support/script.rs"]
mod script;

use std::collections::{BTreeMap, BTreeSet};

use gantry_fleet::{Event, EventKind, Fleet, Grant, NewVolume, Row};
use gantry_machine::{ADMIT, Admit, Effect, Outcome, apply_with};
use gantry_types::Rejection;
use oracle::Predicted;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{TestCaseError, TestRunner},
};
use run::{Run, config};
use script::{EntryStep, script, script_of};

proptest! {
    #![proptest_config(config(2_000))]

    /// Outcomes, S3, every invariant, free capacity, and that refused commands leave the rows alone.
    #[test]
    fn the_fleet_agrees_with_a_naive_oracle(script in script(1..40)) {
        agree(&script)?;
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    /// The same where much is held for the machines of volumes.
    #[test]
    fn the_fleet_agrees_about_volumes(script in volume_script()) {
        agree(&script)?;
    }
}

fn volume_script() -> impl Strategy<Value = Vec<EntryStep>> {
    script_of(1..60, 30, 0.5)
}

fn agree(script: &[EntryStep]) -> Result<(), TestCaseError> {
    let (mut fleet, mut run) = (Fleet::default(), Run::default());
    for step in script {
        let before: Vec<Row> = fleet.rows().collect();
        let (rev, entry, predicted) = run.next(step);
        let mut agreed = Ok(());
        let outcomes = apply_with(&mut fleet, rev, &entry, ADMIT, |fleet| note(&mut agreed, fleet));
        prop_assert_eq!(outcomes.len(), predicted.len());
        for ((outcome, predicted), command) in outcomes.iter().zip(&predicted).zip(&entry.commands) {
            prop_assert!(same(outcome, predicted), "{command:?}\nfleet:  {outcome:?}\noracle: {predicted:?}");
        }
        let agreed = agreed.and_then(|()| fleet.check()).and_then(|()| run.oracle.agrees_with(&fleet));
        prop_assert!(agreed.is_ok(), "after {entry:?}: {agreed:?}");
        let reserved: BTreeSet<u64> = fleet.take_events().iter().filter_map(reserved).collect();
        prop_assert_eq!(reserved, outcomes.iter().flatten().flat_map(|effect| granted(effect, rev)).collect());
        if outcomes.iter().all(Result::is_err) {
            let after: Vec<Row> = fleet.rows().collect();
            prop_assert_eq!(untimed(&before), untimed(&after), "{:?}", entry);
        }
    }
    Ok(())
}

/// Notes the first invariant that a fleet breaks.
fn note(agreed: &mut Result<(), String>, fleet: &Fleet) {
    if agreed.is_ok() {
        *agreed = fleet.check();
    }
}

fn same(outcome: &Outcome, predicted: &Predicted) -> bool {
    match (outcome, predicted) {
        (Ok(effect), Ok(expected)) => effect == expected,
        (Err(refused), Err(reason)) => refused.reason() == *reason,
        _ => false,
    }
}

fn reserved(event: &Event) -> Option<u64> {
    if let EventKind::Reserved(reservation) = &event.kind { Some(reservation.id) } else { None }
}

fn granted(effect: &Effect, at: u64) -> Vec<u64> {
    match effect {
        Effect::Placed { rev, reservations, .. } if *rev == at => reservations.iter().map(|row| row.id).collect(),
        _ => Vec::new(),
    }
}

/// All rows but those that time alone may change: the counters, and answers that are forgotten.
fn untimed(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| !matches!(row, Row::Meta(_) | Row::Request(_))).collect()
}

/// A test that only meets refusals proves little.
#[test]
fn the_scripts_reach_every_outcome() {
    let mut runner = TestRunner::new(config(1));
    let mut reached: BTreeSet<String> = BTreeSet::new();
    for n in 0..750 {
        let mut run = Run::default();
        let script = if n % 3 == 0 { volume_script().boxed() } else { script(1..40).boxed() };
        for step in script.new_tree(&mut runner).unwrap().current() {
            let held: BTreeSet<u64> = run.oracle.volumes.iter().filter(|v| v.hold.is_some()).map(|v| v.id).collect();
            let (_, entry, predicted) = run.next(&step);
            reached
                .extend(predicted.iter().flatten().flat_map(|effect| about_volumes(effect, &held)).map(str::to_owned));
            for (command, predicted) in entry.commands.iter().zip(predicted) {
                let kind = format!("{:?}", command.kind.as_ref().unwrap());
                let kind = kind.split('(').next().unwrap_or_default();
                reached.insert(format!("{kind} {}", predicted.map_or_else(|reason| reason, |_| "OK")));
            }
        }
    }
    let missed: Vec<&&str> = OUTCOMES.iter().filter(|outcome| !reached.contains(**outcome)).collect();
    assert!(missed.is_empty(), "never happened: {missed:?}");
}

/// What an effect has to do with volumes, of which these had a hold before.
fn about_volumes(effect: &Effect, held: &BTreeSet<u64>) -> Vec<&'static str> {
    let (mut what, note) = (Vec::new(), |is_so: bool, word| is_so.then_some(word));
    match effect {
        Effect::VolumeCreated { volume, .. } => {
            what.extend(note(volume.hold.is_some(), "a volume with a hold"));
            what.extend(note(volume.hold.is_some() && volume.forked_from > 0, "a fork with a hold"));
        }
        Effect::Placed { reservations, .. } => {
            what.extend(note(reservations.iter().any(|row| held.contains(&row.volume)), "a machine that ends a hold"));
            let by_name = reservations.iter().filter(|row| row.plan.volume > 0).count();
            what.extend(note(by_name > 0, "a machine by a volume's name"));
            what.extend(note(by_name > 1, "machines by a volume's name"));
        }
        Effect::Expired { leases, .. } => what.extend(note(*leases > 0, "something that expires")),
        _ => {}
    }
    what
}

const OUTCOMES: &[&str] = &[
    "a fork with a hold",
    "a machine by a volume's name",
    "a machine that ends a hold",
    "a volume with a hold",
    "machines by a volume's name",
    "something that expires",
    "Confirm FENCED",
    "Confirm OK",
    "Confirm UNKNOWN_RESERVATION",
    "Confirm WRONG_HOST",
    "CreateVolume CONTENDED",
    "CreateVolume FEATURE_LEVEL",
    "CreateVolume INVALID_ARGUMENT",
    "CreateVolume OK",
    "CreateVolume REQUEST_ID_REUSED",
    "DeleteVolume OK",
    "DeleteVolume REQUEST_ID_REUSED",
    "DeleteVolume UNKNOWN_VOLUME",
    "DeleteVolume VOLUME_IN_USE",
    "EndByHost FENCED",
    "EndByHost OK",
    "Expire OK",
    "ObservePull FEATURE_LEVEL",
    "ObservePull INVALID_ARGUMENT",
    "ObservePull OK",
    "ObservePull UNKNOWN_HOST",
    "RecordImage INVALID_ARGUMENT",
    "RecordImage OK",
    "RegisterHost INVALID_ARGUMENT",
    "RegisterHost LESS_THAN_PROMISED",
    "RegisterHost OK",
    "Release INVALID_ARGUMENT",
    "Release OK",
    "Release REQUEST_ID_REUSED",
    "Release UNKNOWN_RESERVATION",
    "RemoveHost HOST_IN_USE",
    "RemoveHost OK",
    "RemoveHost UNKNOWN_HOST",
    "Renew INVALID_ARGUMENT",
    "Renew OK",
    "Renew REQUEST_ID_REUSED",
    "Renew UNKNOWN_RESERVATION",
    "ReportLayers FEATURE_LEVEL",
    "ReportLayers INVALID_ARGUMENT",
    "ReportLayers OK",
    "ReportLayers UNKNOWN_HOST",
    "Reserve CONTENDED",
    "Reserve FEATURE_LEVEL",
    "Reserve INVALID_ARGUMENT",
    "Reserve OK",
    "Reserve REQUEST_ID_REUSED",
    "SetFeatureLevel FEATURE_LEVEL",
    "SetFeatureLevel OK",
    "SetReachable FEATURE_LEVEL",
    "SetReachable OK",
    "SetReachable UNKNOWN_HOST",
    "SetScheduling INVALID_ARGUMENT",
    "SetScheduling OK",
    "UpdateHost INVALID_ARGUMENT",
    "UpdateHost LESS_THAN_PROMISED",
    "UpdateHost OK",
];

/// Scripts that the mutants run, and how many of these must break an invariant.
const MUTANT_SCRIPTS: usize = 64;

fn no_capacity_check(fleet: &Fleet, grant: Grant<'_>) -> Result<(), Rejection> {
    match fleet.host(grant.plan.host) {
        Some(_) => Ok(()),
        None => (ADMIT.machine)(fleet, grant),
    }
}

/// Looks at the whole request only, not at what stands: right for the first machine of a host.
fn forgetful_check(fleet: &Fleet, grant: Grant<'_>) -> Result<(), Rejection> {
    let mut empty = Fleet::default();
    for host in fleet.hosts() {
        // Hosts are numbered from 1 without gaps as long as none was removed.
        let id = empty.register_host((*host.spec).clone()).map_err(|e| Rejection::new("host", e, ""))?;
        if id != host.id {
            return (ADMIT.machine)(fleet, grant);
        }
    }
    empty.fits(grant)
}

fn no_disk_check(fleet: &Fleet, new: NewVolume<'_>) -> Result<(), Rejection> {
    match fleet.host(new.host) {
        Some(_) => Ok(()),
        None => (ADMIT.volume)(fleet, new),
    }
}

#[test]
fn a_mutated_apply_is_caught() {
    for (name, mutant, at_least) in [
        ("no capacity check", Admit { machine: no_capacity_check, ..ADMIT }, MUTANT_SCRIPTS / 4),
        ("forgetful", Admit { machine: forgetful_check, ..ADMIT }, MUTANT_SCRIPTS / 5),
        // Volumes are rare in the scripts, and most fit.
        ("no disk check", Admit { volume: no_disk_check, ..ADMIT }, MUTANT_SCRIPTS / 8),
    ] {
        let caught = broken_invariants(mutant);
        let s1: usize = caught.iter().filter(|(what, _)| what.starts_with("S1")).map(|(_, times)| times).sum();
        assert!(s1 >= at_least, "{name}: only {s1} of {MUTANT_SCRIPTS} scripts broke S1: {caught:?}");
    }
    assert!(broken_invariants(ADMIT).is_empty(), "the real apply breaks an invariant");
    assert!(broken_by(ADMIT, volume_script).is_empty(), "the real apply breaks an invariant");
}

/// How many scripts broke which invariant, given this judge of plans.
fn broken_invariants(judge: Admit) -> BTreeMap<String, usize> {
    broken_by(judge, || script(1..60))
}

fn broken_by<S: Strategy<Value = Vec<EntryStep>>>(judge: Admit, script: impl Fn() -> S) -> BTreeMap<String, usize> {
    let mut runner = TestRunner::new(config(1));
    let mut caught = BTreeMap::new();
    for _ in 0..MUTANT_SCRIPTS {
        let script = script().new_tree(&mut runner).unwrap().current();
        let (mut fleet, mut run) = (Fleet::default(), Run::default());
        for step in &script {
            let (rev, entry, _) = run.next(step);
            let mut agreed = Ok(());
            apply_with(&mut fleet, rev, &entry, judge, |fleet| note(&mut agreed, fleet));
            if let Err(what) = agreed.and_then(|()| fleet.check()) {
                let invariant = what.split(" at rev").next().unwrap_or_default().to_owned();
                *caught.entry(invariant).or_default() += 1;
                break;
            }
        }
    }
    caught
}
