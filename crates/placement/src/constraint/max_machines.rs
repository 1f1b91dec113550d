//! The most machines of the asking app on a host, and in a zone.

use gantry_types::Party;

use super::{Constraint, No, Quantity};
use crate::{Ask, Room};

pub(super) const PER_HOST: Constraint =
    Constraint { name: "max_per_host", since_level: 2, of_zone: false, check: per_host };
pub(super) const PER_ZONE: Constraint =
    Constraint { name: "max_per_zone", since_level: 2, of_zone: true, check: per_zone };

fn per_host<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    match ask.constraints.max_per_host {
        0 => Ok(()),
        most => below(most, room.app_machines),
    }
}

fn per_zone<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    match ask.constraints.max_per_zone {
        0 => Ok(()),
        most => below(most, room.machines_in_zone(Party::App(ask.app))),
    }
}

fn below<'a>(most: u32, have: u32) -> Result<(), No<'a>> {
    if have < most {
        return Ok(());
    }
    // No host is nearer than another: what is in a zone may grow without a look at its hosts.
    Err(No { want: Quantity::MachinesAtMost(most), have: Quantity::Machines(have), shortfall: u64::MAX })
}
