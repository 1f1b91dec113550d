//! Grants a request's plans: all of them, or none where one no longer fits.

use std::sync::Arc;

use gantry_fleet::{Answer, Fleet, Grant, Granted, Placed};
use gantry_types::{Phase, PlaceRequest, Plan, Refused, Reservation};
use prost::Message;

use super::{Apply, Tagged, answered, reused};
use crate::{Admit, Effect, Outcome, Request};

#[derive(Clone, PartialEq, Message)]
pub struct Reserve {
    #[prost(message, required, tag = "1")]
    pub request: PlaceRequest,
    #[prost(fixed64, tag = "2")]
    pub fingerprint: u64,
    /// One a machine; fewer than the request's count where no more fitted.
    #[prost(message, repeated, tag = "3")]
    pub plans: Vec<Plan>,
}

impl Request for PlaceRequest {
    const KIND: u32 = Reserve::TAG;
}

impl Apply for Reserve {
    fn apply(&self, fleet: &mut Fleet, admit: Admit) -> Outcome {
        let request = &self.request;
        if let Some((_, answer)) = answered(fleet, &request.request_id, self.fingerprint)? {
            return repeat(fleet, request, answer);
        }
        request.validate()?;
        self.validate_plans()?;
        fleet.room_for_reservations(self.plans.len())?;
        let first = fleet.next_grant();
        let mut reservations = Vec::with_capacity(self.plans.len());
        let mut holds = Vec::new();
        for plan in &self.plans {
            let grant = Grant { request, plan };
            if let Err(rejection) = (admit.machine)(fleet, grant) {
                fleet.take_back_grants(first, holds);
                return Err(Refused::Lost { host: plan.host, rejection });
            }
            let volume = fleet.volume(grant.volume());
            holds.extend(volume.and_then(|row| Some((row.id, row.hold.clone()?))));
            reservations.push(fleet.grant(grant));
        }
        let missing = request.count.saturating_sub(self.plans.len() as u32);
        let granted = reservations.iter().map(|r| granted(r)).collect();
        let answer = Answer::Placed(Placed { granted, missing });
        let rev = fleet.remember(&request.request_id, self.fingerprint, answer);
        Ok(Effect::Placed { rev, reservations, missing })
    }
}

fn granted(reservation: &Reservation) -> Granted {
    Granted {
        id: reservation.id,
        fence: reservation.fence,
        host: reservation.plan.host,
        devices: reservation.plan.devices.clone(),
        volume: reservation.plan.volume,
    }
}

impl Reserve {
    /// The answer that a request was given before, as it was then.
    pub fn recalled(fleet: &Fleet, request: &PlaceRequest, fingerprint: u64) -> Option<Outcome> {
        match answered(fleet, &request.request_id, fingerprint) {
            Ok(None) => None,
            Ok(Some((_, answer))) => Some(repeat(fleet, request, answer)),
            Err(refused) => Some(Err(refused)),
        }
    }

    fn validate_plans(&self) -> Result<(), Refused> {
        let (plans, count) = (self.plans.len(), self.request.count as usize);
        let at_least = if self.request.all_or_nothing { count } else { 1 };
        if plans < at_least || plans > count {
            return Err(Refused::invalid("plans", format!("are {plans}: the request takes {at_least} to {count}")));
        }
        let by_name = !self.request.constraints.volume_name.is_empty();
        if self.plans.iter().any(|plan| (plan.volume != 0) != by_name) {
            return Err(Refused::invalid("plans", "name a volume where the request names volumes, and only there"));
        }
        Ok(())
    }
}

fn repeat(fleet: &Fleet, request: &PlaceRequest, answer: Answer) -> Outcome {
    let row = fleet.remembered(&request.request_id);
    let (Some(row), Answer::Placed(placed)) = (row, answer) else {
        return Err(reused(&request.request_id));
    };
    let lease_ms = request.effective_lease_ms();
    let reservations = placed.granted.into_iter().map(|granted| {
        let plan = Plan { host: granted.host, devices: granted.devices, volume: granted.volume };
        Arc::new(Reservation {
            id: granted.id,
            fence: granted.fence,
            app: request.app.clone(),
            image: request.image.clone(),
            shape: request.shape.clone(),
            volume: plan.volume_for(&request.constraints),
            plan,
            phase: Phase::Reserved as i32,
            lease_ms,
            expires_at: row.stamp.saturating_add(lease_ms),
            created_at: row.stamp,
            rev: row.rev,
            request_id: request.request_id.clone(),
            group: request.constraints.group.clone(),
        })
    });
    Ok(Effect::Placed { rev: row.rev, reservations: reservations.collect(), missing: placed.missing })
}
