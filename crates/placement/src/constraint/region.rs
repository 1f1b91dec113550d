//! Acceptable regions.

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "region", since_level: 1, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let (regions, have) = (&ask.constraints.regions, &room.host.spec.region);
    match regions.as_slice() {
        [] => Ok(()),
        regions if regions.contains(have) => Ok(()),
        [one] => Err(No::text(one.as_str(), have.as_str())),
        several => Err(No::text(several.join(" or "), have.as_str())),
    }
}
