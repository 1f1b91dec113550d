//! An operator says how the machines of an app are ranked.

use gantry_fleet::Fleet;
use gantry_types::AppPolicy;
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct SetPolicy {
    #[prost(message, required, tag = "1")]
    pub policy: AppPolicy,
}

impl Apply for SetPolicy {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        fleet.set_policy(self.policy.clone())?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
