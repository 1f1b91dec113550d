//! A machine with a volume runs on the volume's host, and is the volume's only user.

use super::{Constraint, No};
use crate::{Ask, Room, volumes::candidates};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "volume", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let (id, name) = (ask.uses, ask.constraints.volume_name.as_str());
    if ask.is_by_name() {
        let is_here = candidates(room.fleet, room.host, ask).any(|volume| !room.is_being_attached(volume.id));
        return if is_here { Ok(()) } else { Err(No::text(unused(ask, name), "none")) };
    }
    if id == 0 {
        return Ok(());
    }
    let Some(volume) = room.fleet.volume(id) else {
        return Err(No::text(format!("volume {id}"), "no such volume"));
    };
    if volume.app != ask.app {
        return Err(No::text(format!("a volume of app {}", ask.app), format!("volume {id} of app {}", volume.app)));
    }
    if !name.is_empty() && volume.name != name {
        return Err(No::text(unused(ask, name), format!("volume {id}, which is named {}", volume.name)));
    }
    if volume.host != room.host.id {
        return Err(No::text(format!("the host of volume {id}"), "another host"));
    }
    if volume.used_by != 0 {
        return Err(No::text("an unused volume", format!("used by reservation {}", volume.used_by)));
    }
    if room.is_being_attached(id) {
        return Err(No::text("an unused volume", "used by a machine that is being placed"));
    }
    Ok(())
}

fn unused(ask: &Ask<'_>, name: &str) -> String {
    format!("an unused volume {name} of app {}", ask.app)
}
