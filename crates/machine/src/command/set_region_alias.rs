//! An operator lets a name stand for a list of regions.

use gantry_fleet::Fleet;
use gantry_types::RegionAlias;
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct SetRegionAlias {
    /// One that stands for nothing is taken away.
    #[prost(message, required, tag = "1")]
    pub alias: RegionAlias,
}

impl Apply for SetRegionAlias {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        fleet.set_region_alias(self.alias.clone())?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
