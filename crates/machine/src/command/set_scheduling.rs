//! An operator opens, cordons or drains a host.

use gantry_fleet::{Fleet, Scheduling};
use gantry_types::Refused;
use prost::Message;

use super::{Apply, host_named};
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct SetScheduling {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(enumeration = "Scheduling", tag = "2")]
    pub scheduling: i32,
}

impl Apply for SetScheduling {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let host = host_named(fleet, &self.name)?;
        let scheduling = Scheduling::try_from(self.scheduling)
            .map_err(|_| Refused::invalid("scheduling", format!("is {}, which is not known", self.scheduling)))?;
        fleet.set_scheduling(host, scheduling)?;
        let reservations = fleet.host(host).map_or(0, |h| h.reservations().len() as u32);
        Ok(Effect::SchedulingSet { rev: fleet.rev(), reservations })
    }
}
