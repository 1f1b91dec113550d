//! The one way in which the state changes.

use gantry_fleet::{Fleet, Grant, NewVolume};
use gantry_placement::{Ask, admits};
use gantry_types::{Rejection, Rev};

use crate::{Entry, Outcome};

/// Answers remembered longer than the memory's horizon that an entry forgets for each of its commands: more than come
/// in, so that the memory shrinks under load too.
const FORGOTTEN_PER_COMMAND: usize = 2;

/// Who decides whether a plan may be committed. [`ADMIT`] in production; tests put broken ones in its place and see them
/// caught.
#[derive(Clone, Copy, Debug)]
pub struct Admit {
    pub machine: fn(&Fleet, Grant<'_>) -> Result<(), Rejection>,
    pub volume: fn(&Fleet, NewVolume<'_>) -> Result<(), Rejection>,
}

/// Every constraint of the replicated feature level on the chosen host, then exact room on it and its devices.
pub const ADMIT: Admit = Admit { machine: admit_machine, volume: admit_volume };

fn admit_machine(fleet: &Fleet, grant: Grant<'_>) -> Result<(), Rejection> {
    admits(fleet, &Ask::planned(grant.request, grant.plan), grant.plan.host)?;
    fleet.fits(grant)
}

fn admit_volume(fleet: &Fleet, new: NewVolume<'_>) -> Result<(), Rejection> {
    admits(fleet, &Ask::volume_without_image(new.request), new.host)?;
    fleet.volume_fits_host(new)
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
    apply_with(fleet, rev, entry, ADMIT, |_| {})
}

/// As [`apply`], with another judge of plans, and with a look at the fleet after every command.
pub fn apply_with(
    fleet: &mut Fleet,
    rev: Rev,
    entry: &Entry,
    admit: Admit,
    mut after_command: impl FnMut(&Fleet),
) -> Vec<Outcome> {
    fleet.begin(rev, entry.stamp);
    let mut outcomes = Vec::with_capacity(entry.commands.len());
    for command in &entry.commands {
        let kind = command.kind.as_ref().expect("Entry::check refuses unknown commands");
        outcomes.push(fleet.has_level(kind.feature_level()).and_then(|()| kind.apply(fleet, admit)));
        after_command(fleet);
    }
    fleet.forget_requests(FORGOTTEN_PER_COMMAND * entry.commands.len());
    outcomes
}
