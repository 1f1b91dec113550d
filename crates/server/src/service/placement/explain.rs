//! Answers about a placement that is not made. Over the applied state: plans in flight play no part.

use std::cmp::Reverse;

use gantry_fleet::Fleet;
use gantry_placement::{
    Ask, Fits, InFlight, Planned, Planner, Ranked, Sight, changes, fits, plan_on, present_bytes, rank, refusals,
};
use gantry_proto::{
    convert::{self, explain::change},
    v1,
};
use gantry_types::{PlaceRequest, Plan, Refused};

use crate::answer;

/// Regions of which it is told how many machines fit there.
const REGIONS: usize = 256;

/// Looks at every host a few times: not for a thread that serves other calls.
pub(super) fn answer(fleet: &Fleet, rev: u64, request: &PlaceRequest, top: usize) -> v1::ExplainResponse {
    let ask = Ask::machine(fleet, request);
    let nothing = InFlight::default();
    let ranked = rank(fleet, &nothing, &mut Sight::of(fleet, &nothing), ask);
    let fits = fits(fleet, &ask);
    v1::ExplainResponse {
        rev,
        hosts: ranked.iter().take(top).filter_map(|ranked| ranked_host(fleet, &ask, ranked)).collect(),
        feasible: ranked.len() as u64,
        rejections: convert::rejections(&refusals(fleet, &nothing, &ask)),
        image_bytes: ask.image.map_or(0, |image| image.size_bytes),
        image_known: ask.image.is_some(),
        changes: changes(fleet, request, &fits).iter().map(|relaxed| change(&relaxed.change)).collect(),
        plan: Some(plan(fleet, request)),
        fits: Some(shown(fits)),
    }
}

fn ranked_host(fleet: &Fleet, ask: &Ask<'_>, ranked: &Ranked) -> Option<v1::RankedHost> {
    let host = fleet.host(ranked.host())?;
    let free_milli = ranked.device.map(|device| device.free_milli.into());
    let devices = plan_on(fleet, &InFlight::default(), ask, host.id, free_milli).map(|plan| plan.devices);
    Some(v1::RankedHost {
        host: host.spec.name.clone(),
        region: host.spec.region.clone(),
        zone: host.spec.zone.clone(),
        terms: answer::terms(&ranked.costs_us),
        present_bytes: present_bytes(ask.image, host),
        ready_ms: ranked.estimate.ready_us.div_ceil(1_000),
        devices: devices.unwrap_or_default().into_iter().map(Into::into).collect(),
    })
}

/// What a planner would answer that knows of nothing in flight.
fn plan(fleet: &Fleet, request: &PlaceRequest) -> v1::Plan {
    let mut planner = Planner::default();
    planner.catch_up(fleet);
    match planner.plan(fleet, request) {
        Ok(Planned { plans, choices, missing, rejections }) => v1::Plan {
            machines: plans
                .iter()
                .zip(&choices)
                .filter_map(|(plan, choice)| {
                    let choice = Some(answer::choice(choice));
                    Some(v1::PlannedMachine { choice, ..planned_machine(fleet, plan)? })
                })
                .collect(),
            missing,
            rejections: convert::rejections(&rejections),
        },
        Err(Refused::NoCapacity { groups, .. }) => {
            v1::Plan { machines: Vec::new(), missing: request.count, rejections: convert::rejections(&groups) }
        }
        // Nothing else is refused while planning.
        Err(_) => v1::Plan { missing: request.count, ..v1::Plan::default() },
    }
}

fn planned_machine(fleet: &Fleet, plan: &Plan) -> Option<v1::PlannedMachine> {
    let spec = &fleet.host(plan.host)?.spec;
    Some(v1::PlannedMachine {
        host: spec.name.clone(),
        region: spec.region.clone(),
        zone: spec.zone.clone(),
        devices: plan.devices.iter().copied().map(Into::into).collect(),
        choice: None,
    })
}

fn shown(fits: Fits) -> v1::Fits {
    let Fits { total, regions, at_least } = fits;
    let regions =
        regions.into_iter().map(|(region, fits)| v1::RegionFits { region, machines: fits.machines, hosts: fits.hosts });
    let mut regions: Vec<v1::RegionFits> = regions.collect();
    regions.sort_by_key(|fits| Reverse(fits.machines));
    regions.truncate(REGIONS);
    v1::Fits { machines: total.machines, hosts: total.hosts, regions, at_least }
}
