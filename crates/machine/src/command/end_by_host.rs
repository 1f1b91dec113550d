//! A host cannot do what was reserved, or its machine ended.

use gantry_fleet::{EndReason, Fleet};
use gantry_types::{Fence, HostId, ReservationId};
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct EndByHost {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    #[prost(uint64, tag = "2")]
    pub reservation: ReservationId,
    #[prost(uint64, tag = "3")]
    pub fence: Fence,
    /// Why the host refuses; absent where the machine ran and ended.
    #[prost(string, optional, tag = "4")]
    pub refusal: Option<String>,
}

impl Apply for EndByHost {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let reason = self.refusal.clone().map_or(EndReason::Ended, EndReason::Refused);
        fleet.end_by_host(self.host, self.reservation, self.fence, reason)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
