//! A fleet, a planner over it, and what a naive planner would know: plans in flight are granted on a copy of the fleet.

use std::collections::{BTreeSet, VecDeque};

use gantry_fleet::{EndReason, FEATURE_LEVEL_MAX, Fleet, Grant, LayerReport, NewVolume};
use gantry_placement::{Ask, CONSTRAINTS, InFlight, Planned, PlannedVolume, Planner, Room, admits, refusals};
use gantry_types::{Constraints, PlaceRequest, Plan, PullObservation, Refused, RejectionGroup, VolumeRequest, limits};
use proptest::{prelude::*, test_runner::TestCaseError};

use crate::script::{Script, Step, digest, layer_bytes};

#[derive(Clone, Debug)]
enum Proposed {
    Machines(PlaceRequest, Vec<Plan>),
    /// With all that a fork takes over.
    Volume(VolumeRequest, PlannedVolume),
}

#[derive(Debug, Default)]
pub struct World {
    pub fleet: Fleet,
    planner: Planner,
    /// Planned and not settled, oldest first.
    proposed: VecDeque<Proposed>,
    /// How many of these, from the oldest on, are applied.
    applied: usize,
    pub planned: usize,
    pub refused: usize,
    /// Machines that got one of several volumes, ones that got what was held for them, and forks.
    pub by_name: usize,
    pub on_hold: usize,
    pub forks: usize,
    /// Constraints by which hosts were refused.
    pub refused_by: BTreeSet<&'static str>,
}

type Outcome = Result<(), TestCaseError>;

impl World {
    pub fn run(&mut self, script: &Script) -> Outcome {
        self.fleet.set_feature_level(FEATURE_LEVEL_MAX).expect("it is the newest");
        (1..).zip(&script.steps).try_for_each(|(rev, step)| {
            // What hosts fetch arrives meanwhile.
            self.fleet.begin(rev, self.fleet.now() + rev % 7 * 30);
            self.step(step, &script.requests)?;
            let checked = self.fleet.check();
            prop_assert!(checked.is_ok(), "after {step:?}: {checked:?}");
            Ok(())
        })
    }

    fn step(&mut self, step: &Step, requests: &[PlaceRequest]) -> Outcome {
        match step.clone() {
            Step::Register(spec) => drop(self.fleet.register_host(spec)),
            Step::Remove(pick) => drop(self.host(pick).map(|host| self.fleet.remove_host(host))),
            Step::Schedule(pick, scheduling) => drop(self.host(pick).map(|h| self.fleet.set_scheduling(h, scheduling))),
            Step::Reach(pick, reachable) => drop(self.host(pick).map(|h| self.fleet.set_reachable(h, reachable))),
            Step::Layers { host, full, present, gone } => {
                let present = present.into_iter().map(|(n, state)| (digest(n), layer_bytes(n), state)).collect();
                let gone = gone.into_iter().map(digest).collect();
                let report = LayerReport { full, present, gone, ..LayerReport::default() };
                drop(self.host(host).map(|host| self.fleet.report_layers(host, &report)));
            }
            Step::Record(image) => drop(self.fleet.record_image(image)),
            Step::Observe(pick, mb) => {
                let bytes = mb * 1_000_000;
                let seen = PullObservation { fetched_bytes: bytes, fetch_ms: 1_000, streams: 4, ..Default::default() };
                drop(self.host(pick).map(|host| self.fleet.observe_pull(host, &seen)));
            }
            Step::Policy(policy) => drop(self.fleet.set_policy(policy)),
            Step::Alias(alias) => drop(self.fleet.set_region_alias(alias)),
            Step::Plan { request, count, all_or_nothing } => {
                let request = &requests[request % requests.len()];
                let count = if request.constraints.volume == 0 { count } else { 1 };
                return self.plan(PlaceRequest { count, all_or_nothing, ..request.clone() });
            }
            Step::PlanVolume(request) => {
                let request = self.fork(*request);
                return self.plan_volume(request);
            }
            Step::Apply => self.apply(),
            Step::Settle => self.settle(),
            Step::Release(pick) => {
                let ids: Vec<u64> = self.fleet.reservations_after(0).map(|row| row.id).collect();
                drop(ids.get(pick % ids.len().max(1)).map(|&id| self.fleet.end(id, EndReason::Released)));
            }
            Step::DeleteVolume(pick) => {
                let ids: Vec<u64> = self.fleet.volumes_after(0).map(|row| row.id).collect();
                drop(ids.get(pick % ids.len().max(1)).map(|&id| self.fleet.delete_volume(id)));
            }
            Step::ExpireHolds => {
                self.fleet.begin(self.fleet.rev() + 1, self.fleet.now() + limits::LEASE_DEFAULT_MS);
                self.fleet.expire_holds(usize::MAX);
            }
            Step::Reset => {
                self.planner.reset();
                self.proposed.clear();
                self.applied = 0;
            }
        }
        Ok(())
    }

    /// A fork is one of a volume that is there, if any is.
    fn fork(&self, mut request: VolumeRequest) -> VolumeRequest {
        let pick = request.fork_of as usize;
        let volumes: Vec<_> = self.fleet.volumes_after(0).collect();
        if let Some(source) = volumes.get(pick % volumes.len().max(1)).filter(|_| pick > 0) {
            (request.fork_of, request.app) = (source.id, source.app.clone());
        }
        request
    }

    fn host(&self, pick: usize) -> Option<u32> {
        let hosts: Vec<u32> = self.fleet.hosts().map(|host| host.id).collect();
        hosts.get(pick % hosts.len().max(1)).copied()
    }

    fn apply(&mut self) {
        let Some(proposed) = self.proposed.get(self.applied) else { return };
        apply(&mut self.fleet, proposed);
        self.applied += 1;
    }

    fn settle(&mut self) {
        match self.proposed.pop_front() {
            Some(Proposed::Machines(request, plans)) => self.planner.settle(&request, &plans),
            Some(Proposed::Volume(request, planned)) => self.planner.settle_volume(&request, &planned),
            None => {}
        }
        self.applied = self.applied.saturating_sub(1);
    }

    /// The fleet as it will be once everything in flight is applied, whether it fits or not.
    /// Volumes in flight have no number yet, so no machine can ask for one: with `hidden` they are nobody's.
    fn future(&self, hidden: bool) -> Fleet {
        let mut fleet = self.fleet.clone();
        for proposed in &self.proposed {
            match proposed {
                Proposed::Machines(request, plans) => {
                    let there = plans.iter().filter(|plan| self.fleet.host(plan.host).is_some());
                    there.for_each(|plan| grant_in_future(&mut fleet, request, plan.clone()));
                }
                Proposed::Volume(request, planned) if fleet.host(planned.host).is_some() => {
                    let request = if hidden { hide(request) } else { request.clone() };
                    fleet.create_volume(new_volume(&request, planned));
                }
                Proposed::Volume(..) => {}
            }
        }
        fleet
    }

    fn plan(&mut self, request: PlaceRequest) -> Outcome {
        self.planner.catch_up(&self.fleet);
        let mut future = self.future(true);
        let expected = self.planner.clone().plan_by_all(&self.fleet, &request);
        let outcome = self.planner.plan(&self.fleet, &request);
        prop_assert_eq!(&outcome, &expected);
        let (planned, groups) = split(outcome)?;
        let plans = planned.as_ref().map_or_else(Vec::new, |planned| planned.plans.clone());
        for plan in &plans {
            self.plan_is_allowed(&future, &request, plan)?;
            grant(&mut future, &request, plan);
        }
        self.refused_by.extend(groups.iter().map(|group| group.example.constraint));
        if planned.is_some() && plans.len() < request.count as usize {
            prop_assert_eq!(groups.iter().map(|group| group.hosts).sum::<usize>(), self.fleet.host_count());
            // Volumes in flight have no number yet, but have one in the future.
            if request.constraints.volume == 0 {
                prop_assert_eq!(groups, refusals(&future, &InFlight::default(), &Ask::machine(&future, &request)));
            }
        }
        match planned {
            Some(planned) => {
                prop_assert_eq!(planned.missing as usize + plans.len(), request.count as usize);
                self.planned += planned.plans.len();
                let volumes = || planned.plans.iter().map(|plan| plan.volume_for(&request.constraints));
                let held = volumes().filter_map(|id| self.fleet.volume(id)).filter(|volume| volume.hold.is_some());
                self.on_hold += held.count();
                self.by_name += planned.plans.iter().filter(|plan| plan.volume != 0).count();
                self.proposed.push_back(Proposed::Machines(request, planned.plans));
            }
            None => {
                // Refused as a whole: what was found took no room in the end.
                let refused = refusals(&future, &InFlight::default(), &Ask::machine(&future, &request));
                let nothing_fits = refused.iter().map(|group| group.hosts).sum::<usize>() == future.host_count();
                prop_assert!(nothing_fits || request.all_or_nothing && request.count > 1);
                prop_assert!(self.planner.try_plan(&self.fleet, &request).is_none());
                self.refused += 1;
            }
        }
        Ok(())
    }

    fn plan_volume(&mut self, request: VolumeRequest) -> Outcome {
        self.planner.catch_up(&self.fleet);
        let future = self.future(false);
        let planned = self.planner.plan_volume(&self.fleet, &request);
        let Ok(inherited) = self.fleet.inherited(&request) else {
            prop_assert_eq!(planned, None, "its source cannot be forked");
            return Ok(());
        };
        let request = request.inheriting(inherited.as_ref()).into_owned();
        let ask = Ask::volume(&future, &request);
        let refused = refusals(&future, &InFlight::default(), &ask);
        let nothing_fits = refused.iter().map(|group| group.hosts).sum::<usize>() == future.host_count();
        prop_assert_eq!(planned.is_none(), nothing_fits);
        self.refused_by.extend(refused.iter().map(|g| g.example.constraint));
        if let Some(planned) = planned {
            let room = Room::applied(&future, future.host(planned.host).expect("it was planned"), &request.app);
            let refused = CONSTRAINTS.iter().find(|constraint| (constraint.check)(&ask, &room).is_err());
            prop_assert!(refused.is_none(), "{refused:?}");
            self.forks += usize::from(planned.inherited.is_some());
            prop_assert_eq!(planned.hold.is_some(), request.held_shape().is_some());
            let fits = future.volume_fits_host(new_volume(&request, &planned));
            prop_assert!(fits.is_ok(), "{fits:?}");
            self.proposed.push_back(Proposed::Volume(request, planned));
        }
        Ok(())
    }

    /// No constraint refuses the host (S6), and the plan fits beside everything in flight.
    fn plan_is_allowed(&self, future: &Fleet, request: &PlaceRequest, plan: &Plan) -> Outcome {
        let ask = Ask::machine(future, request).using(plan.volume_for(&request.constraints));
        let host = future.host(plan.host).expect("the host is there");
        InFlight::default().with_room(future, host, &ask, future.app_number(ask.app), |room| {
            CONSTRAINTS.iter().try_for_each(|constraint| {
                let checked = (constraint.check)(&ask, room);
                prop_assert!(checked.is_ok(), "{} refuses {}: {checked:?}", constraint.name, host.name);
                Ok(())
            })
        })?;
        let fits = future.fits(Grant { request, plan });
        prop_assert!(fits.is_ok(), "{fits:?}");
        Ok(())
    }
}

/// As what is in flight: without constraints but for its group and its volume.
fn grant(fleet: &mut Fleet, request: &PlaceRequest, plan: &Plan) {
    let Constraints { group, volume, volume_name, .. } = request.constraints.clone();
    let constraints = Constraints { group, volume, volume_name, ..Constraints::default() };
    fleet.grant(Grant { request: &PlaceRequest { constraints, ..request.clone() }, plan });
}

/// Grants a plan in flight, with its volume unless that is gone or used.
fn grant_in_future(fleet: &mut Fleet, request: &PlaceRequest, mut plan: Plan) {
    let mut request = request.clone();
    let volume = fleet.volume(plan.volume_for(&request.constraints));
    if volume.is_none_or(|volume| volume.used_by != 0) {
        (plan.volume, request.constraints.volume) = (0, 0);
    }
    fleet.grant(Grant { request: &request, plan: &plan });
}

fn new_volume<'a>(request: &'a VolumeRequest, planned: &'a PlannedVolume) -> NewVolume<'a> {
    NewVolume { request, host: planned.host, hold: planned.hold.as_ref() }
}

/// Of a volume that takes disk and is nobody's.
fn hide(request: &VolumeRequest) -> VolumeRequest {
    VolumeRequest { name: "in flight".into(), app: "in flight".into(), ..request.clone() }
}

fn apply(fleet: &mut Fleet, proposed: &Proposed) {
    match proposed {
        Proposed::Machines(request, plans) => {
            for plan in plans {
                let grant = Grant { request, plan };
                let admitted = admits(fleet, &Ask::planned(request, plan), plan.host).and_then(|()| fleet.fits(grant));
                if admitted.is_ok() {
                    fleet.grant(grant);
                }
            }
        }
        Proposed::Volume(request, planned) => {
            let new = new_volume(request, planned);
            let admitted = admits(fleet, &Ask::volume(fleet, request), planned.host);
            if admitted.and_then(|()| fleet.volume_fits_host(new)).is_ok() {
                fleet.create_volume(new);
            }
        }
    }
}

/// What was planned, and why not more.
fn split(outcome: Result<Planned, Refused>) -> Result<(Option<Planned>, Vec<RejectionGroup>), TestCaseError> {
    match outcome {
        Ok(planned) => {
            let groups = planned.rejections.clone();
            Ok((Some(planned), groups))
        }
        Err(Refused::NoCapacity { groups, .. }) => Ok((None, groups)),
        Err(refused) => Err(TestCaseError::fail(refused.to_string())),
    }
}
