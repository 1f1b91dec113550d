//! An agent measured how long a pull took.

use gantry_fleet::Fleet;
use gantry_types::{HostId, PullObservation};
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, Copy, PartialEq, Message)]
pub struct ObservePull {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    #[prost(message, required, tag = "2")]
    pub observed: PullObservation,
}

impl Apply for ObservePull {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        fleet.observe_pull(self.host, &self.observed)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
