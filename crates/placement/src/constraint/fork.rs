//! A fork does not lie on the host of its source: what takes that host takes one of the two.

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "fork", since_level: 2, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let id = ask.fork_of;
    if id == 0 || room.fleet.volume(id).is_some_and(|source| source.host != room.host.id) {
        return Ok(());
    }
    Err(No::text(format!("another host than that of volume {id}"), &*room.host.name))
}
