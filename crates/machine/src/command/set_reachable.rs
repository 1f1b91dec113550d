//! The leader says that a host's agent was silent for too long, or that it is heard of again.

use gantry_fleet::Fleet;
use gantry_types::HostId;
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, Copy, PartialEq, Message)]
pub struct SetReachable {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    #[prost(bool, tag = "2")]
    pub reachable: bool,
}

impl Apply for SetReachable {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        fleet.set_reachable(self.host, self.reachable)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
