//! A host asked for by name.

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "host", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let want = ask.constraints.host.as_str();
    if want.is_empty() || want == &*room.host.name {
        return Ok(());
    }
    Err(No::text(want, &*room.host.name))
}
