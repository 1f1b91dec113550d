//! An operator takes an empty host out of the fleet.

use gantry_fleet::Fleet;
use prost::Message;

use super::{Apply, host_named};
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct RemoveHost {
    #[prost(string, tag = "1")]
    pub name: String,
}

impl Apply for RemoveHost {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let host = host_named(fleet, &self.name)?;
        fleet.remove_host(host)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
