//! The one way in which the state changes.

use gantry_fleet::{Fleet, Grant};
use gantry_placement::{Ask, admits};
use gantry_types::{Rejection, Rev};

use crate::{Entry, Outcome};

/// Answers remembered longer than the memory's horizon that an entry forgets for each of its commands: more than come
/// in, so that the memory shrinks under load too.
const FORGOTTEN_PER_COMMAND: usize = 2;

/// Whether a plan may be granted. [`admit`] in production; tests put a broken one in its place and see it caught.
pub type Admit = fn(&Fleet, Grant<'_>) -> Result<(), Rejection>;

/// Every constraint of the replicated feature level on the chosen host, then exact room on the chosen devices.
pub fn admit(fleet: &Fleet, grant: Grant<'_>) -> Result<(), Rejection> {
    admits(fleet, &Ask::machine(fleet, grant.request), grant.plan.host)?;
    fleet.fits(grant)
}

/// Applies an entry that [`Entry::check`] let through: one outcome a command, in order.
///
/// # Panics
///
/// On an entry that [`Entry::check`] refuses: to go on would let this replica differ.
///
/// Requests are validated here too, so that no caller of the log can make a replica compute with numbers out of range.
/// That makes the rules of `validate` part of the replicated behaviour: changing one takes a new feature level.
pub fn apply(fleet: &mut Fleet, rev: Rev, entry: &Entry) -> Vec<Outcome> {
    apply_with(fleet, rev, entry, admit)
}

/// As [`apply`], with another judge of plans.
pub fn apply_with(fleet: &mut Fleet, rev: Rev, entry: &Entry, admit: Admit) -> Vec<Outcome> {
    fleet.begin(rev, entry.stamp);
    let kinds = entry.commands.iter().map(|command| command.kind.as_ref());
    let outcomes = kinds.map(|kind| kind.expect("Entry::check refuses unknown commands").apply(fleet, admit)).collect();
    fleet.forget_requests(FORGOTTEN_PER_COMMAND * entry.commands.len());
    outcomes
}
