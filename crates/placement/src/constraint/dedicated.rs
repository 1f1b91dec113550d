//! A host with the label `dedicated` takes only the app or group that the label names, and who requires the label.

use gantry_types::DEDICATED_LABEL;

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "dedicated", since_level: 2, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some(owner) = room.host.offer.label(DEDICATED_LABEL) else { return Ok(()) };
    let asked_for = || {
        let required = &ask.constraints.require_labels;
        required.iter().any(|label| label.key == DEDICATED_LABEL && label.value == owner)
    };
    if owner == ask.app || owner == ask.constraints.group || asked_for() {
        return Ok(());
    }
    Err(No::text(ask.app, owner))
}
