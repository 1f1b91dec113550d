//! Same log, same bytes (S5): a fleet that applied every entry, one that did the same once more, and fleets that were
//! restored on the way hold the same rows and give the same answers ever after.
#![allow(clippy::unwrap_used)]

#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/run.rs"]
mod run;
#[path = "support/script.rs"]
mod script;
#[path = "support/table.rs"]
mod table;

use gantry_fleet::Fleet;
use gantry_machine::{Entry, Outcome, apply};
use proptest::{collection::vec, prelude::*};
use prost::Message;
use run::{Run, config};
use script::script;
use table::Table;

proptest! {
    #![proptest_config(config(800))]

    /// `restore` says after which entries the two restored fleets are thrown away and loaded anew.
    #[test]
    fn restored_fleets_go_on_as_if_nothing_had_happened(
        script in script(1..50),
        restore in vec(proptest::bool::weighted(0.1), 51),
    ) {
        let mut run = Run::default();
        let (mut live, mut twin) = (Fleet::default(), Fleet::default());
        let (mut from_rows, mut from_table) = (Fleet::default(), Fleet::default());
        let mut table = Table::default();
        for (step, restore) in script.iter().zip(restore) {
            let (rev, entry, _) = run.next(step);
            // As it comes out of the log.
            let entry = Entry::read(&entry.encode_to_vec()).unwrap();
            let (outcomes, events) = answers(&mut live, rev, &entry);
            for other in [&mut twin, &mut from_rows, &mut from_table] {
                let (other_outcomes, other_events) = answers(other, rev, &entry);
                prop_assert_eq!(&outcomes, &other_outcomes);
                prop_assert_eq!(&events, &other_events);
            }
            table.write(&mut live);
            let rows = Table::of(&live);
            prop_assert_eq!(&rows, &table, "the changes do not lead to the rows");
            for other in [&twin, &from_rows, &from_table] {
                prop_assert_eq!(&rows, &Table::of(other));
                prop_assert_eq!(other.check(), Ok(()));
            }
            if restore {
                from_rows = rows.load();
                from_table = table.load();
            }
        }
    }
}

/// Outcomes and events.
fn answers(fleet: &mut Fleet, rev: u64, entry: &Entry) -> (Vec<Outcome>, String) {
    let outcomes = apply(fleet, rev, entry);
    (outcomes, format!("{:?}", fleet.take_events()))
}

/// The memory may be empty and yet have given out numbers.
#[test]
fn an_empty_request_memory_keeps_its_next_number() {
    use gantry_fleet::Answer;
    use gantry_types::limits::REQUEST_MEMORY_MS;

    let mut live = Fleet::default();
    live.begin(1, 1_000);
    for n in 0..5 {
        live.remember(&format!("r{n}"), n, Answer::Done(true));
    }
    live.begin(2, 1_001 + REQUEST_MEMORY_MS);
    live.forget_requests(5);
    assert!(live.remembered("r4").is_none());
    let mut loaded = Table::of(&live).load();
    for fleet in [&mut live, &mut loaded] {
        fleet.begin(3, 1_002 + REQUEST_MEMORY_MS);
        fleet.remember("r0", 0, Answer::Done(true));
        fleet.check().unwrap();
    }
    assert_eq!(Table::of(&live), Table::of(&loaded));
}
