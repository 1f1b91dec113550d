//! Creates a volume on the planned host.

use std::sync::Arc;

use gantry_fleet::{Answer, Fleet};
use gantry_types::{HostId, Refused, VolumeRequest};
use prost::Message;

use super::{Apply, Tagged, answered, reused};
use crate::{Admit, Effect, Outcome, Request};

#[derive(Clone, PartialEq, Message)]
pub struct CreateVolume {
    #[prost(message, required, tag = "1")]
    pub request: VolumeRequest,
    #[prost(fixed64, tag = "2")]
    pub fingerprint: u64,
    #[prost(uint32, tag = "3")]
    pub host: HostId,
}

impl Request for VolumeRequest {
    const KIND: u32 = CreateVolume::TAG;
}

impl Apply for CreateVolume {
    fn apply(&self, fleet: &mut Fleet, admit: Admit) -> Outcome {
        let request = &self.request;
        if let Some(outcome) = Self::recalled(fleet, request, self.fingerprint) {
            return outcome;
        }
        request.validate()?;
        fleet.room_for_volume()?;
        (admit.volume)(fleet, request, self.host).map_err(|rejection| Refused::Lost { host: self.host, rejection })?;
        let volume = fleet.create_volume(request, self.host);
        let rev =
            fleet.remember(&request.request_id, self.fingerprint, Answer::VolumeCreated(Box::new((*volume).clone())));
        Ok(Effect::VolumeCreated { rev, volume })
    }
}

impl CreateVolume {
    /// The answer that a request was given before, or why there can be none; nothing for a new one.
    pub fn recalled(fleet: &Fleet, request: &VolumeRequest, fingerprint: u64) -> Option<Outcome> {
        match answered(fleet, &request.request_id, fingerprint) {
            Ok(None) => None,
            Ok(Some((rev, Answer::VolumeCreated(volume)))) => {
                Some(Ok(Effect::VolumeCreated { rev, volume: Arc::from(volume) }))
            }
            Ok(Some(_)) => Some(Err(reused(&request.request_id))),
            Err(refused) => Some(Err(refused)),
        }
    }
}
