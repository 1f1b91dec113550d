//! Acceptable regions: a list in the order of preference, in which aliases stand for others and `any` for every one.

use gantry_fleet::Fleet;

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "region", since_level: 1, of_zone: false, check };

/// Regions that are named to someone who asked for one that is not there.
const SHOWN: usize = 8;

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let (wanted, have) = (ask.constraints.regions.as_slice(), &room.host.offer.region);
    if room.fleet.region_place(ask.constraints, have).is_some() {
        return Ok(());
    }
    if room.fleet.names_no_region(ask.constraints) {
        return Err(No::text(format!("{}, where no host is", wanted.join(" or ")), existing(room.fleet)));
    }
    match wanted {
        [one] => Err(No::text(one.as_str(), have.as_str())),
        several => Err(No::text(several.join(" or "), have.as_str())),
    }
}

/// The regions that are there, as far as they can be told in a line.
fn existing(fleet: &Fleet) -> String {
    let regions = fleet.regions();
    let more = regions.len().saturating_sub(SHOWN);
    let shown = regions.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { format!("hosts in {shown}") } else { format!("hosts in {shown} and {more} more regions") }
}
