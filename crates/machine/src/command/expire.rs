//! Ends what has run out by the entry's stamp: leases of reservations and holds, remembered answers, removed hosts.

use gantry_fleet::Fleet;
use gantry_types::limits;
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Expire {}

impl Apply for Expire {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let reservations = fleet.expire_leases();
        let leases = reservations + fleet.expire_holds(limits::EXPIRED_PER_COMMAND - reservations as usize);
        fleet.forget_requests(limits::EXPIRED_PER_COMMAND);
        fleet.forget_removed_hosts();
        Ok(Effect::Expired { rev: fleet.rev(), leases })
    }
}
