//! Volumes of one app and name, each on a host of its own. (Fly's `require_unique_zone`: the zone it means is a host.)

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "unique_zone", since_level: 1, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some((name, _)) = ask.volume.filter(|_| ask.constraints.unique_zone) else {
        return Ok(());
    };
    let rows = room.host.volumes().iter().filter_map(|&id| room.fleet.volume(id));
    match rows.into_iter().find(|volume| volume.app == ask.app && volume.name == name) {
        None => Ok(()),
        Some(volume) => Err(No::text(format!("no volume {name} of app {}", ask.app), format!("volume {}", volume.id))),
    }
}
