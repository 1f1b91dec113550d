//! A machine with a volume runs on the volume's host, and is the volume's only user.

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "volume", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let id = ask.constraints.volume;
    if id == 0 {
        return Ok(());
    }
    let Some(volume) = room.fleet.volume(id) else {
        return Err(No::text(format!("volume {id}"), "no such volume"));
    };
    if volume.app != ask.app {
        return Err(No::text(format!("a volume of app {}", ask.app), format!("volume {id} of app {}", volume.app)));
    }
    if volume.host != room.host.id {
        return Err(No::text(format!("the host of volume {id}"), "another host"));
    }
    if volume.used_by != 0 {
        return Err(No::text("an unused volume", format!("used by reservation {}", volume.used_by)));
    }
    Ok(())
}
