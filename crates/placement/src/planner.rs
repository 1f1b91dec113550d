//! Plans requests one after the other over the applied fleet and the plans in flight.

use gantry_fleet::{Fleet, Journal, Touched};
use gantry_types::{Constraints, HostId, PlaceRequest, Plan, Refused, RejectionGroup, VolumeRequest};

use crate::{
    Ask, InFlight, Ranked, TERMS, best, choose_devices, present_bytes, rank::ranked, rankings::Rankings, refusals,
    search::Search,
};

/// A request's plans, one a machine.
#[derive(Clone, Debug)]
pub struct Planned {
    pub plans: Vec<Plan>,
    /// Why each plan is where it is.
    pub choices: Vec<Choice>,
    /// Machines that did not fit.
    pub missing: u32,
    /// Why they did not.
    pub rejections: Vec<RejectionGroup>,
}

/// Why a host was chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    pub terms: [i64; TERMS.len()],
    pub image_bytes: u64,
    pub present_bytes: u64,
    /// False where the image is not recorded, and so played no part.
    pub image_known: bool,
}

/// Finds hosts without looking at all of them: requests that differ in nothing a constraint or a term looks at share a
/// ranking, which follows a journal of touched hosts; where they come too seldom for that, their host is searched for.
#[derive(Debug, Default)]
pub struct Planner {
    in_flight: InFlight,
    /// What the fleet's journal says and what plans in flight touch, in one order.
    journal: Journal,
    /// Of these, the hosts whose layers changed.
    layers: Journal,
    fleet_position: u64,
    rankings: Rankings,
    search: Search,
}

impl Planner {
    /// Forgets plans in flight, as after a change of leadership. They are not to be settled any more.
    pub fn reset(&mut self) {
        self.in_flight.clear();
        self.journal.reset();
        self.layers.reset();
    }

    /// Takes over what was applied since the last call. Call it before planning, under the same lock.
    pub fn catch_up(&mut self, fleet: &Fleet) {
        match fleet.journal().since(self.fleet_position) {
            Some(entries) => {
                for touched in entries {
                    self.in_flight.follow(fleet, touched.host);
                    self.journal.push(touched);
                    if touched.layers {
                        self.layers.push(touched);
                    }
                }
            }
            None => {
                self.in_flight.follow_all(fleet);
                self.journal.reset();
                self.layers.reset();
            }
        }
        self.in_flight.follow_images(fleet, &mut self.journal);
        self.fleet_position = fleet.journal().end();
    }

    /// Plans a request. Its plans take room from now on, until [`Planner::settle`].
    pub fn plan(&mut self, fleet: &Fleet, request: &PlaceRequest) -> Result<Planned, Refused> {
        let refused = |groups| Refused::NoCapacity { rev: fleet.rev(), hosts: fleet.host_count(), groups };
        self.attempt(fleet, request, true).map_err(refused)
    }

    /// As [`Planner::plan`], for a caller that does not ask why there is no room, which costs a look at every host.
    pub fn try_plan(&mut self, fleet: &Fleet, request: &PlaceRequest) -> Option<Planned> {
        self.attempt(fleet, request, false).ok()
    }

    /// The plans or, where the request is refused as a whole and it is asked why, the refusals of all hosts.
    fn attempt(
        &mut self,
        fleet: &Fleet,
        request: &PlaceRequest,
        tell_why: bool,
    ) -> Result<Planned, Vec<RejectionGroup>> {
        let ask = Ask::machine(fleet, request);
        let mut planned = Planned { plans: Vec::new(), choices: Vec::new(), missing: 0, rejections: Vec::new() };
        let is_refused =
            |planned: &Planned| planned.missing > 0 && (planned.plans.is_empty() || request.all_or_nothing);
        let is_told = |planned: &Planned| planned.missing > 0 && (tell_why || !is_refused(planned));
        if let Some(host) = only_host(fleet, ask.constraints) {
            self.plan_all(fleet, &ask, request.count, &mut planned, |planner| planner.rank_one(fleet, &ask, host?));
            if is_told(&planned) {
                planned.rejections = refusals(fleet, &self.in_flight, &ask);
            }
        } else {
            let slot = self.rankings.slot(request);
            match self.rankings.take(slot, request, fleet.host_count(), &self.journal) {
                Some(mut ranking) => {
                    self.plan_all(fleet, &ask, request.count, &mut planned, |planner| {
                        ranking.catch_up(fleet, &ask, &planner.journal);
                        ranking.best(fleet, &planner.in_flight, &ask)
                    });
                    if is_told(&planned) {
                        planned.rejections = ranking.refusals(fleet, &self.in_flight, &ask);
                    }
                    self.rankings.put_back(slot, ranking);
                }
                None => {
                    self.plan_all(fleet, &ask, request.count, &mut planned, |planner| {
                        planner.search.best(fleet, &planner.in_flight, &ask, &planner.journal, &planner.layers)
                    });
                    if is_told(&planned) {
                        planned.rejections = refusals(fleet, &self.in_flight, &ask);
                    }
                }
            }
        }
        if is_refused(&planned) {
            self.settle(request, &planned.plans);
            return Err(planned.rejections);
        }
        Ok(planned)
    }

    /// Plans one machine after the other for as long as there is a best host.
    fn plan_all(
        &mut self,
        fleet: &Fleet,
        ask: &Ask<'_>,
        count: u32,
        planned: &mut Planned,
        mut best: impl FnMut(&mut Self) -> Option<Ranked>,
    ) {
        for _ in 0..count {
            let Some(ranked) = best(self) else { break };
            let Some(plan) = self.plan_on(fleet, ask, ranked.score.host.0) else { break };
            self.take_room(fleet, ask, &plan);
            planned.plans.push(plan);
            planned.choices.push(Choice {
                terms: ranked.score.terms,
                image_bytes: ask.image.map_or(0, |image| image.size_bytes),
                present_bytes: ranked.present_bytes,
                image_known: ask.image.is_some(),
            });
        }
        planned.missing = count - planned.plans.len() as u32;
    }

    fn rank_one(&self, fleet: &Fleet, ask: &Ask<'_>, host: HostId) -> Option<Ranked> {
        let host = fleet.host(host)?;
        let present_bytes = present_bytes(ask.image, host);
        ranked(fleet, &self.in_flight, ask, fleet.app_number(ask.app), host, present_bytes).ok()
    }

    /// Plans a volume by looking at every host: volumes are rare beside machines. It takes room from now on, until
    /// [`Planner::settle_volume`].
    pub fn plan_volume(&mut self, fleet: &Fleet, request: &VolumeRequest) -> Option<HostId> {
        let host = best(fleet, &self.in_flight, &Ask::volume(fleet, request))?.score.host.0;
        self.take_volume_room(fleet, request, host);
        Some(host)
    }

    /// The plans of a request were applied, refused, or will never be proposed: they take no room of their own any more.
    pub fn settle(&mut self, request: &PlaceRequest, plans: &[Plan]) {
        for plan in plans {
            self.in_flight.remove(&Ask::machine_without_image(request), plan);
            self.journal.push(Touched { host: plan.host, layers: false });
        }
    }

    /// As [`Planner::settle`], for a volume.
    pub fn settle_volume(&mut self, request: &VolumeRequest, host: HostId) {
        let plan = Plan { host, devices: Vec::new() };
        self.in_flight.remove(&Ask::volume_without_image(request), &plan);
        self.journal.push(Touched { host, layers: false });
    }

    fn plan_on(&self, fleet: &Fleet, ask: &Ask<'_>, host: HostId) -> Option<Plan> {
        let host = fleet.host(host)?;
        let Some(gpu) = ask.shape.and_then(|shape| shape.gpu.as_ref()) else {
            return Some(Plan { host: host.id, devices: Vec::new() });
        };
        let devices = self.in_flight.with_room(fleet, host, ask.app, None, |room| choose_devices(gpu, room))?;
        Some(Plan { host: host.id, devices })
    }

    fn take_room(&mut self, fleet: &Fleet, ask: &Ask<'_>, plan: &Plan) {
        self.in_flight.add(fleet, ask, plan);
        self.journal.push(Touched { host: plan.host, layers: false });
    }

    fn take_volume_room(&mut self, fleet: &Fleet, request: &VolumeRequest, host: HostId) {
        let plan = Plan { host, devices: Vec::new() };
        self.in_flight.add(fleet, &Ask::volume_without_image(request), &plan);
        self.journal.push(Touched { host, layers: false });
    }
}

/// The host that a request can only go to, by its name or for its volume, if it can go to one only.
fn only_host(fleet: &Fleet, constraints: &Constraints) -> Option<Option<HostId>> {
    if constraints.volume != 0 {
        return Some(fleet.volume(constraints.volume).map(|volume| volume.host));
    }
    (!constraints.host.is_empty()).then(|| fleet.host_named(&constraints.host).map(|host| host.id))
}
