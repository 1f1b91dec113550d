//! Plans requests one after the other over the applied fleet and the plans in flight.

mod volumes;

use gantry_fleet::{Fleet, Journal, Touched};
use gantry_types::{Constraints, HostId, PlaceRequest, Plan, Refused, RejectionGroup, Shape};

use crate::{
    Ask, Costs, InFlight, Ranked, Sight, plan_on, present_bytes, rankings::Rankings, readiness::Estimate, refusals,
    search::Search, sight::Asked, volumes::VolumeHosts,
};

pub use volumes::PlannedVolume;

/// A request's plans, one a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What each score term says.
    pub costs_us: Costs,
    /// Until the machine's image is unpacked.
    pub estimate: Estimate,
    pub image_bytes: u64,
    pub present_bytes: u64,
    /// False where the image is not recorded, and so played no part.
    pub image_known: bool,
}

/// Finds hosts without looking at all of them: requests that differ in nothing a constraint or a term looks at share a
/// ranking, which follows a journal of touched hosts; where they come too seldom for that, their host is searched for.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    in_flight: InFlight,
    /// What the fleet's journal says and what plans in flight touch, in one order.
    journal: Journal,
    /// Of these, the hosts whose layers changed.
    layers: Journal,
    fleet_position: u64,
    sight: Sight,
    rankings: Rankings,
    search: Search,
}

impl Planner {
    /// Forgets plans in flight, as after a change of leadership. They are not to be settled any more.
    pub fn reset(&mut self) {
        self.in_flight.clear();
        self.sight.reset();
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
        self.attempt(fleet, request, true).map_err(|groups| no_capacity(fleet, groups))
    }

    /// So many machines of a shape are known to come, as from what was asked for before: what is placed leaves room for them.
    pub fn expect(&mut self, shape: &Shape, machines: u64) {
        self.sight.count(shape, machines);
    }

    /// As [`Planner::plan`], for a caller that does not ask why there is no room, which costs a look at every host.
    pub fn try_plan(&mut self, fleet: &Fleet, request: &PlaceRequest) -> Option<Planned> {
        self.attempt(fleet, request, false).ok()
    }

    /// As [`Planner::plan`], by looking at every host for every machine: what planning quickly is compared with.
    pub fn plan_by_all(&mut self, fleet: &Fleet, request: &PlaceRequest) -> Result<Planned, Refused> {
        let asked = self.learn(fleet, request);
        let planned = self.plan_all(fleet, asked, request.count, |planner, asked| {
            let looks = fleet.hosts().map(|host| planner.sight.look(fleet, &planner.in_flight, asked, host));
            looks.filter_map(Result::ok).max()
        });
        self.finish(fleet, request, planned, true).map_err(|groups| no_capacity(fleet, groups))
    }

    /// The plans or, where the request is refused as a whole and it is asked why, the refusals of all hosts.
    fn attempt(
        &mut self,
        fleet: &Fleet,
        request: &PlaceRequest,
        tell_why: bool,
    ) -> Result<Planned, Vec<RejectionGroup>> {
        let asked = self.learn(fleet, request);
        let slot = self.rankings.slot(request);
        let planned = if asked.ask.is_by_name() {
            let mut hosts = VolumeHosts::of(fleet, &asked.ask);
            self.plan_all(fleet, asked, request.count, |planner, asked| {
                let Self { sight, in_flight, .. } = planner;
                hosts.best(|host| sight.look(fleet, in_flight, asked, fleet.host(host)?).ok())
            })
        } else if let Some(host) = only_host(fleet, &request.constraints) {
            self.plan_all(fleet, asked, request.count, |planner, asked| {
                planner.sight.look(fleet, &planner.in_flight, asked, fleet.host(host?)?).ok()
            })
        } else if let Some(mut ranking) = self.rankings.take(slot, request, fleet.host_count(), &self.journal) {
            let planned = self.plan_all(fleet, asked, request.count, |planner, asked| {
                ranking.catch_up(fleet, &planner.sight, asked, &planner.journal);
                ranking.best(fleet, &planner.in_flight, &mut planner.sight, asked)
            });
            self.rankings.put_back(slot, ranking);
            planned
        } else {
            self.plan_all(fleet, asked, request.count, |planner, asked| {
                planner.search.best(fleet, &planner.in_flight, &mut planner.sight, asked, &planner.layers)
            })
        };
        self.finish(fleet, request, planned, tell_why)
    }

    /// Takes note of what is asked for, and that nothing is older than the journal.
    fn learn<'a>(&mut self, fleet: &'a Fleet, request: &'a PlaceRequest) -> Asked<'a> {
        self.sight.count(&request.shape, request.count.into());
        self.sight.catch_up(fleet, &self.in_flight, &self.journal);
        self.sight.asked_quickly(fleet, Ask::machine(fleet, request))
    }

    /// Says why machines are missing, and takes back the plans of a request that is refused as a whole.
    fn finish(
        &mut self,
        fleet: &Fleet,
        request: &PlaceRequest,
        mut planned: Planned,
        tell_why: bool,
    ) -> Result<Planned, Vec<RejectionGroup>> {
        let is_refused = planned.missing > 0 && (planned.plans.is_empty() || request.all_or_nothing);
        if planned.missing > 0 && (tell_why || !is_refused) {
            planned.rejections = refusals(fleet, &self.in_flight, &Ask::machine(fleet, request));
        }
        if is_refused {
            self.settle(request, &planned.plans);
            return Err(planned.rejections);
        }
        Ok(planned)
    }

    /// Plans one machine after the other for as long as there is a best host.
    fn plan_all(
        &mut self,
        fleet: &Fleet,
        mut asked: Asked<'_>,
        count: u32,
        mut best: impl FnMut(&mut Self, &mut Asked<'_>) -> Option<Ranked>,
    ) -> Planned {
        let mut planned = Planned::default();
        for _ in 0..count {
            let Some(ranked) = best(self, &mut asked) else { break };
            let free_milli = ranked.device.map(|device| device.free_milli.into());
            let Some(plan) = plan_on(fleet, &self.in_flight, &asked.ask, ranked.host(), free_milli) else { break };
            let image = asked.ask.image;
            planned.choices.push(Choice {
                costs_us: ranked.costs_us,
                estimate: ranked.estimate,
                image_bytes: image.map_or(0, |image| image.size_bytes),
                present_bytes: fleet.host(plan.host).map_or(0, |host| present_bytes(image, host)),
                image_known: image.is_some(),
            });
            self.take_room(fleet, &asked.ask, &plan);
            planned.plans.push(plan);
        }
        planned.missing = count - planned.plans.len() as u32;
        self.sight.done(asked);
        planned
    }

    /// All feasible hosts for a request as the planner sees them now, best first, by looking at every one.
    pub fn rank(&mut self, fleet: &Fleet, ask: Ask<'_>) -> Vec<Ranked> {
        crate::rank(fleet, &self.in_flight, &mut self.sight, ask)
    }

    /// The plans of a request were applied, refused, or will never be proposed: they take no room of their own any more.
    pub fn settle(&mut self, request: &PlaceRequest, plans: &[Plan]) {
        for plan in plans {
            self.in_flight.remove(&Ask::machine_without_image(request), plan);
            self.journal.push(Touched { host: plan.host, layers: false });
        }
    }

    fn take_room(&mut self, fleet: &Fleet, ask: &Ask<'_>, plan: &Plan) {
        self.in_flight.add(fleet, ask, plan);
        self.journal.push(Touched { host: plan.host, layers: false });
        self.sight.placed(ask.image, plan.host);
        self.sight.follow(fleet, &self.in_flight, &self.journal);
    }
}

fn no_capacity(fleet: &Fleet, groups: Vec<RejectionGroup>) -> Refused {
    Refused::NoCapacity { rev: fleet.rev(), hosts: fleet.host_count(), groups, changes: Vec::new() }
}

/// The host that a request can only go to, by its name or for its volume, if it can go to one only.
fn only_host(fleet: &Fleet, constraints: &Constraints) -> Option<Option<HostId>> {
    if constraints.volume != 0 {
        return Some(fleet.volume(constraints.volume).map(|volume| volume.host));
    }
    (!constraints.host.is_empty()).then(|| fleet.host_named(&constraints.host).map(|host| host.id))
}
