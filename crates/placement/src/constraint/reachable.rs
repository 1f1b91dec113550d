//! Nothing new goes to a host whose agent has not been heard of for too long.

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "reachable", since_level: 2, of_zone: false, check };

fn check<'a>(_: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    if !room.host.unreachable {
        return Ok(());
    }
    Err(No::text("a host whose agent is heard of", "unreachable"))
}
