//! Creates a volume on the planned host, and holds compute there for its machine.

use std::sync::Arc;

use gantry_fleet::{Answer, Fleet, NewVolume};
use gantry_placement::PlannedVolume;
use gantry_types::{HostId, Inherited, Plan, Refused, VolumeRequest};
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
    /// What a fork takes over; absent for any other volume.
    #[prost(message, optional, tag = "4")]
    pub inherited: Option<Inherited>,
    /// The devices held for its machine, with the rest of the machine's shape. Absent where nothing is held, as always
    /// below feature level 2.
    #[prost(message, optional, tag = "5")]
    pub hold: Option<Plan>,
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
        let whole = request.inheriting(self.inherited.as_ref());
        self.validate_plan(fleet, &whole)?;
        fleet.room_for_volume()?;
        let new = NewVolume { request: &whole, host: self.host, hold: self.hold.as_ref() };
        (admit.volume)(fleet, new).map_err(|rejection| Refused::Lost { host: self.host, rejection })?;
        let volume = fleet.create_volume(new);
        let rev =
            fleet.remember(&request.request_id, self.fingerprint, Answer::VolumeCreated(Box::new((*volume).clone())));
        Ok(Effect::VolumeCreated { rev, volume })
    }
}

impl CreateVolume {
    /// The command that creates what was planned.
    pub fn planned(request: VolumeRequest, fingerprint: u64, planned: PlannedVolume) -> Self {
        let PlannedVolume { host, inherited, hold } = planned;
        Self { request, fingerprint, host, inherited, hold }
    }

    /// What was planned.
    pub fn plan(&self) -> PlannedVolume {
        PlannedVolume { host: self.host, inherited: self.inherited.clone(), hold: self.hold.clone() }
    }

    /// Whether the plan is one of this request, and a fork's source is still what it may be forked from.
    fn validate_plan(&self, fleet: &Fleet, whole: &VolumeRequest) -> Result<(), Refused> {
        let is_fork = fleet.inherited(&self.request)?.is_some();
        if is_fork != self.inherited.is_some() {
            return Err(Refused::invalid("inherited", "is for forks, and only for these"));
        }
        if is_fork && whole.size_bytes == 0 {
            return Err(Refused::invalid("inherited", "has no size, and the request names none"));
        }
        if is_fork {
            whole.validate()?;
        }
        match &self.hold {
            Some(plan) if plan.host != self.host || plan.volume != 0 || whole.held_shape().is_none() => {
                Err(Refused::invalid("hold", "is not of this volume: it is for its host and the machine it asks for"))
            }
            _ => Ok(()),
        }
    }

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
