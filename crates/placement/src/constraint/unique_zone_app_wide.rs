//! Volumes of one app, each on a host of its own whatever their names. (Fly's `unique_zone_app_wide`.)

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint =
    Constraint { name: "unique_zone_app_wide", since_level: 2, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    if ask.volume.is_none() || !ask.constraints.unique_zone_app_wide {
        return Ok(());
    }
    match room.volume_of(ask.app, None) {
        None => Ok(()),
        Some(have) => Err(No::text(format!("no volume of app {}", ask.app), have)),
    }
}
