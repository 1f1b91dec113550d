//! A host says that it has the machine.

use gantry_fleet::Fleet;
use gantry_types::{Fence, HostId, ReservationId};
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct Confirm {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    #[prost(uint64, tag = "2")]
    pub reservation: ReservationId,
    #[prost(uint64, tag = "3")]
    pub fence: Fence,
}

impl Apply for Confirm {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        fleet.confirm(self.host, self.reservation, self.fence)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
