//! An owner gives reservations back: all that it names, or none.

use gantry_fleet::{EndReason, Fleet};
use gantry_types::{Refused, ReservationId, limits};
use prost::Message;

use super::{Apply, Tagged, give_back};
use crate::{Admit, Outcome, Request};

#[derive(Clone, PartialEq, Message)]
pub struct Release {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(fixed64, tag = "2")]
    pub fingerprint: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub reservations: Vec<ReservationId>,
}

impl Request for Release {
    const KIND: u32 = Release::TAG;
}

impl Apply for Release {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        give_back(fleet, &self.request_id, self.fingerprint, |fleet| {
            self.validate()?;
            if let Some(&id) = self.reservations.iter().find(|&&id| fleet.reservation(id).is_none()) {
                return Err(Refused::UnknownReservation { reservation: id });
            }
            let mut sorted = self.reservations.clone();
            sorted.sort_unstable();
            sorted.dedup();
            sorted.into_iter().try_for_each(|id| fleet.end(id, EndReason::Released))
        })
    }
}

impl Release {
    fn validate(&self) -> Result<(), Refused> {
        let (named, limit) = (self.reservations.len(), limits::MACHINES_PER_REQUEST as usize);
        if named == 0 || named > limit {
            return Err(Refused::invalid("reservations", format!("are {named}: name 1 to {limit}")));
        }
        Ok(())
    }
}
