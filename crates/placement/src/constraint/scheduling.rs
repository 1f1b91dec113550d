//! Nothing new goes to a host that is cordoned or draining.

use gantry_fleet::Scheduling;

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "scheduling", since_level: 1, of_zone: false, check };

fn check<'a>(_: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    match room.host.scheduling {
        Scheduling::Open => Ok(()),
        Scheduling::Cordoned => Err(No::text("an open host", "cordoned")),
        Scheduling::Draining => Err(No::text("an open host", "draining")),
    }
}
