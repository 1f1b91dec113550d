//! Volumes of one app and name, each on a host of its own. (Fly's `require_unique_zone`: the zone it means is a host.)

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "unique_zone", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some((name, _)) = ask.volume.filter(|_| ask.constraints.unique_zone) else {
        return Ok(());
    };
    match room.volume_of(ask.app, Some(name)) {
        None => Ok(()),
        Some(have) => Err(No::text(format!("no volume {name} of app {}", ask.app), have)),
    }
}
