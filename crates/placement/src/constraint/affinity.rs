//! Machines of other apps and groups near, or not near, on the host or in its zone.

use gantry_types::{Affinity, Scope};

use super::{Constraint, No, Quantity};
use crate::Room;

pub(super) const HOST: Constraint = Constraint {
    name: "affinity",
    since_level: 2,
    of_zone: false,
    check: |ask, room| near(&ask.constraints.affinity, Scope::Host, room),
};
pub(super) const ZONE: Constraint = Constraint {
    name: "zone_affinity",
    since_level: 2,
    of_zone: true,
    check: |ask, room| near(&ask.constraints.affinity, Scope::Zone, room),
};
pub(super) const ANTI_HOST: Constraint = Constraint {
    name: "anti_affinity",
    since_level: 2,
    of_zone: false,
    check: |ask, room| apart(&ask.constraints.anti_affinity, Scope::Host, room),
};
pub(super) const ANTI_ZONE: Constraint = Constraint {
    name: "zone_anti_affinity",
    since_level: 2,
    of_zone: true,
    check: |ask, room| apart(&ask.constraints.anti_affinity, Scope::Zone, room),
};

fn near<'a>(wanted: &'a [Affinity], scope: Scope, room: &Room<'_>) -> Result<(), No<'a>> {
    match wanted.iter().filter(|affinity| affinity.scope() == scope).find(|affinity| machines(affinity, room) == 0) {
        None => Ok(()),
        Some(missing) => Err(No { want: Quantity::Near(missing), have: Quantity::Machines(0), shortfall: u64::MAX }),
    }
}

fn apart<'a>(unwanted: &'a [Affinity], scope: Scope, room: &Room<'_>) -> Result<(), No<'a>> {
    match unwanted.iter().filter(|affinity| affinity.scope() == scope).find(|affinity| machines(affinity, room) > 0) {
        None => Ok(()),
        Some(there) => {
            let have = Quantity::Machines(machines(there, room));
            Err(No { want: Quantity::Apart(there), have, shortfall: u64::MAX })
        }
    }
}

/// Of the named app or group, as near as it says.
fn machines(affinity: &Affinity, room: &Room<'_>) -> u32 {
    match affinity.scope() {
        Scope::Host => room.machines_on_host(affinity.party()),
        Scope::Zone => room.machines_in_zone(affinity.party()),
    }
}
