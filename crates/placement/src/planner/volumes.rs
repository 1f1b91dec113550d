//! Plans for volumes.

use gantry_fleet::{Fleet, Touched};
use gantry_types::{HostId, Inherited, Plan, VolumeRequest};

use super::Planner;
use crate::{Ask, best, plan_on};

/// The feature level from which compute is held for a volume's machine.
const HOLD_LEVEL: u32 = 2;

/// Where a volume goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedVolume {
    pub host: HostId,
    /// Of a fork.
    pub inherited: Option<Inherited>,
    /// The devices held for its machine, with the rest of the machine's shape; nothing is held without it.
    pub hold: Option<Plan>,
}

impl Planner {
    /// Plans a volume by looking at every host: volumes are rare beside machines. It takes room from now on, and what is
    /// held for its machine does, until [`Planner::settle_volume`]. Nothing where no host fits, or where
    /// [`Fleet::inherited`] refuses a fork.
    pub fn plan_volume(&mut self, fleet: &Fleet, request: &VolumeRequest) -> Option<PlannedVolume> {
        let inherited = fleet.inherited(request).ok()?;
        let whole = request.inheriting(inherited.as_ref());
        let ask = Ask::volume(fleet, &whole);
        self.sight.catch_up(fleet, &self.in_flight, &self.journal);
        let ranked = best(fleet, &self.in_flight, &mut self.sight, ask)?;
        let (host, free_milli) = (ranked.host(), ranked.device.map(|device| device.free_milli.into()));
        let holds = fleet.feature_level() >= HOLD_LEVEL && whole.held_shape().is_some();
        let hold = if holds { Some(plan_on(fleet, &self.in_flight, &ask, host, free_milli)?) } else { None };
        let planned = PlannedVolume { host, inherited, hold };
        let (ask, plan) = planned.taken(&whole);
        self.in_flight.add(fleet, &ask, &plan);
        self.journal.push(Touched { host, layers: false });
        Some(planned)
    }

    /// As [`Planner::settle`], for a volume.
    pub fn settle_volume(&mut self, request: &VolumeRequest, planned: &PlannedVolume) {
        let whole = request.inheriting(planned.inherited.as_ref());
        let (ask, plan) = planned.taken(&whole);
        self.in_flight.remove(&ask, &plan);
        self.journal.push(Touched { host: planned.host, layers: false });
    }
}

impl PlannedVolume {
    /// What it takes while it is in flight.
    fn taken<'a>(&self, whole: &'a VolumeRequest) -> (Ask<'a>, Plan) {
        let ask = Ask::volume_without_image(whole);
        match &self.hold {
            Some(plan) => (ask, plan.clone()),
            None => (Ask { shape: None, image_name: "", ..ask }, Plan { host: self.host, ..Plan::default() }),
        }
    }
}
