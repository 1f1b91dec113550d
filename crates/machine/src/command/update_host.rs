//! An operator changes a host's labels or overcommit.

use gantry_fleet::Fleet;
use gantry_types::Label;
use prost::Message;

use super::{Apply, host_named};
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct UpdateHost {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub set_labels: Vec<Label>,
    /// Keys.
    #[prost(string, repeated, tag = "3")]
    pub remove_labels: Vec<String>,
    #[prost(uint32, optional, tag = "4")]
    pub cpu_overcommit_percent: Option<u32>,
}

impl Apply for UpdateHost {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let host = host_named(fleet, &self.name)?;
        fleet.update_host(host, &self.set_labels, &self.remove_labels, self.cpu_overcommit_percent)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
