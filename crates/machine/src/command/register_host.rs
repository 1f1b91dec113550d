//! A host's agent says who it is and what it has.

use gantry_fleet::Fleet;
use gantry_types::HostSpec;
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct RegisterHost {
    #[prost(message, required, tag = "1")]
    pub spec: HostSpec,
}

impl Apply for RegisterHost {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let host = fleet.register_host(self.spec.clone())?;
        Ok(Effect::HostRegistered { rev: fleet.rev(), host })
    }
}
