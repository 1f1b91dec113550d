//! Deletes a volume that no machine uses.

use gantry_fleet::Fleet;
use gantry_types::VolumeId;
use prost::Message;

use super::{Apply, Tagged, give_back};
use crate::{Admit, Outcome, Request};

#[derive(Clone, PartialEq, Message)]
pub struct DeleteVolume {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(fixed64, tag = "2")]
    pub fingerprint: u64,
    #[prost(uint64, tag = "3")]
    pub volume: VolumeId,
}

impl Request for DeleteVolume {
    const KIND: u32 = DeleteVolume::TAG;
}

impl Apply for DeleteVolume {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        give_back(fleet, &self.request_id, self.fingerprint, |fleet| fleet.delete_volume(self.volume))
    }
}
