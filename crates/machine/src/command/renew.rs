//! An owner lets a lease run anew.

use gantry_fleet::{Answer, Fleet};
use gantry_types::ReservationId;
use prost::Message;

use super::{Apply, Tagged, answered, reused};
use crate::{Admit, Effect, Outcome, Request};

#[derive(Clone, PartialEq, Message)]
pub struct Renew {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(fixed64, tag = "2")]
    pub fingerprint: u64,
    #[prost(uint64, tag = "3")]
    pub reservation: ReservationId,
    /// 0 keeps the length.
    #[prost(uint64, tag = "4")]
    pub lease_ms: u64,
}

impl Request for Renew {
    const KIND: u32 = Renew::TAG;
}

impl Apply for Renew {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        match answered(fleet, &self.request_id, self.fingerprint)? {
            Some((rev, Answer::RenewedUntil(until))) => Ok(Effect::Renewed { rev, until }),
            Some(_) => Err(reused(&self.request_id)),
            None => {
                let until = fleet.renew(self.reservation, self.lease_ms)?;
                let rev = fleet.remember(&self.request_id, self.fingerprint, Answer::RenewedUntil(until));
                Ok(Effect::Renewed { rev, until })
            }
        }
    }
}
