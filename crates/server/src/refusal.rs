//! Makes "no capacity" honest (S7).
//!
//! The planner counts plans in flight, which may yet be refused, and this node may have lost leadership without knowing.
//! So a refusal is only given after leadership was confirmed and the applied state alone has no room either; otherwise the
//! call is planned again.

use gantry_consensus::{Consensus, ProposeError};
use gantry_fleet::Fleet;
use gantry_machine::{CreateVolume, Reserve};
use gantry_placement::{Ask, InFlight, best, refusals};
use gantry_types::{Refused, RejectionGroup, Rev};

use crate::call::{Call, CallError, What};

/// Answers the calls that cannot be placed at a position of the log reached after they came in. Returns the others.
pub(crate) async fn check(consensus: Consensus, suspects: Vec<Call>) -> Vec<Call> {
    if let Err(error) = consensus.read_index().await {
        for call in suspects {
            call.reply.send(Err(not_confirmed(&error)));
        }
        return Vec::new();
    }
    let state = consensus.state();
    let state = state.read();
    let (fleet, rev) = (&state.fleet, state.rev());
    let mut again = Vec::new();
    let mut last: Option<(What, Option<Refused>)> = None;
    for mut call in suspects {
        // The same request may have been granted meanwhile, and what it was granted is what is missing now.
        if is_answered(fleet, &call.what) {
            call.attempts += 1;
            again.push(call);
            continue;
        }
        // A burst is refused for one reason: look at the fleet once.
        let refused = match &last {
            Some((what, refused)) if alike(what, &call.what) => refused.clone(),
            _ => no_capacity(fleet, rev, &call.what),
        };
        match refused.clone() {
            Some(refused) => {
                last = Some((call.what, Some(refused.clone())));
                call.reply.send(Err(CallError::Refused(refused)));
            }
            None => {
                call.attempts += 1;
                again.push(call);
            }
        }
    }
    again
}

fn not_confirmed(error: &ProposeError) -> CallError {
    match error {
        ProposeError::NotLeader { leader } => CallError::NotLeader(leader.clone()),
        ProposeError::Stopped { .. } => CallError::Stopped,
        // Nothing was proposed for these calls, whatever became of the confirmation.
        _ => CallError::NotLeader(None),
    }
}

fn is_answered(fleet: &Fleet, what: &What) -> bool {
    match what {
        What::Place { request, fingerprint } => Reserve::recalled(fleet, request, *fingerprint).is_some(),
        What::CreateVolume { request, fingerprint } => CreateVolume::recalled(fleet, request, *fingerprint).is_some(),
        What::Command(_) => false,
    }
}

/// Whether two calls differ in nothing that constraints look at.
fn alike(a: &What, b: &What) -> bool {
    match (a, b) {
        (What::Place { request: a, .. }, What::Place { request: b, .. }) => {
            a.app == b.app
                && a.shape == b.shape
                && a.constraints == b.constraints
                && a.all_or_nothing == b.all_or_nothing
                && a.count == b.count
        }
        _ => false,
    }
}

fn no_capacity(fleet: &Fleet, rev: Rev, what: &What) -> Option<Refused> {
    let groups = match what {
        What::Place { request, .. } if request.all_or_nothing && request.count > 1 => {
            let mut planner = gantry_placement::Planner::default();
            planner.catch_up(fleet);
            match planner.plan(fleet, request) {
                Err(Refused::NoCapacity { groups, .. }) => Some(groups),
                _ => None,
            }
        }
        What::Place { request, .. } => without_room(fleet, &Ask::machine(fleet, request)),
        What::CreateVolume { request, .. } => without_room(fleet, &Ask::volume(fleet, request)),
        What::Command(_) => None,
    };
    groups.map(|groups| Refused::NoCapacity { rev, hosts: fleet.host_count(), groups })
}

fn without_room(fleet: &Fleet, ask: &Ask<'_>) -> Option<Vec<RejectionGroup>> {
    let nothing = InFlight::default();
    best(fleet, &nothing, ask).is_none().then(|| refusals(fleet, &nothing, ask))
}
