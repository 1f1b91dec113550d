//! Acceptable regions: a list in the order of preference, in which `any` stands for every one.

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "region", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let have = &room.host.offer.region;
    if ask.constraints.region_place(have).is_some() {
        return Ok(());
    }
    match ask.constraints.regions.as_slice() {
        [one] => Err(No::text(one.as_str(), have.as_str())),
        several => Err(No::text(several.join(" or "), have.as_str())),
    }
}
