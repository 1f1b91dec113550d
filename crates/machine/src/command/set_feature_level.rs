//! Switches new behaviour on, once every member has it.

use gantry_fleet::Fleet;
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, Copy, PartialEq, Message)]
pub struct SetFeatureLevel {
    #[prost(uint32, tag = "1")]
    pub level: u32,
}

impl Apply for SetFeatureLevel {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        fleet.set_feature_level(self.level)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
