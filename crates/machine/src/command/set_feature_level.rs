//! Switches new behaviour on, once every member has it.

use gantry_fleet::{FEATURE_LEVEL_MAX, Fleet};
use gantry_types::Refused;
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

impl SetFeatureLevel {
    /// Whether this code knows the level. Asked before the command is proposed: once it is in the log, a replica that
    /// does not know the level can only stop.
    pub fn known(level: u32) -> Result<(), Refused> {
        if level > FEATURE_LEVEL_MAX {
            return Err(Refused::over("level", level.into(), FEATURE_LEVEL_MAX.into()));
        }
        Ok(())
    }
}
