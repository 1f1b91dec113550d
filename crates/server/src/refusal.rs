//! Makes "no capacity" honest (S7).
//!
//! The planner counts plans in flight, which may yet be refused, and this node may have lost leadership without knowing.
//! So a refusal is only given after leadership was confirmed and the applied state alone has no room either; otherwise the
//! call is planned again.

use gantry_consensus::{Consensus, ProposeError, SharedState};
use gantry_fleet::Fleet;
use gantry_machine::{CreateVolume, Reserve};
use gantry_placement::{Ask, InFlight, Planner, changes, fits, refusals, relaxations};
use gantry_types::{Constraints, PlaceRequest, Refused, RejectionGroup, Rev, Shape};
use hashbrown::HashMap;

use crate::call::{Call, CallError, What};

/// Different refusals of one check that say what would let the request fit: others must not wait for more of them.
const EXPLAINED: usize = 16;

/// Answers the calls that cannot be placed at a position of the log reached after they came in. Returns the others.
pub(crate) async fn check(consensus: Consensus, suspects: Vec<Call>) -> Vec<Call> {
    if let Err(error) = consensus.read_index().await {
        for call in suspects {
            call.reply.send(Err(not_confirmed(&error)));
        }
        return Vec::new();
    }
    let state = consensus.state();
    // Every look goes over the whole fleet: not on a thread that serves other calls.
    let again = consensus.workers().run(move || sort_out(&state, suspects));
    // Calls that are lost with a thread that died are answered when they are dropped.
    again.await.unwrap_or_default()
}

fn sort_out(state: &SharedState, suspects: Vec<Call>) -> Vec<Call> {
    let mut again = Vec::new();
    let mut known: HashMap<Alike, Refused> = HashMap::new();
    for mut call in suspects {
        // Apply may go on between two calls: a refusal stays true of its own rev.
        match refusal(state, &mut known, &call.what) {
            Some(refused) => call.reply.send(Err(CallError::Refused(refused))),
            None => {
                call.attempts += 1;
                again.push(call);
            }
        }
    }
    again
}

fn refusal(state: &SharedState, known: &mut HashMap<Alike, Refused>, what: &What) -> Option<Refused> {
    let state = state.read();
    // The same request may have been granted meanwhile, and what it was granted is what is missing now.
    if is_answered(&state.fleet, what) {
        return None;
    }
    let alike = Alike::of(what);
    // A burst is refused for few reasons: look at the fleet once for each.
    if let Some(refused) = alike.as_ref().and_then(|alike| known.get(alike)) {
        return Some(refused.clone());
    }
    let mut refused = no_capacity(&state.fleet, state.rev(), what)?;
    if known.len() < EXPLAINED {
        refused = with_changes(&state.fleet, refused, what);
    }
    known.extend(alike.map(|alike| (alike, refused.clone())));
    Some(refused)
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

/// All that constraints look at: placements with the same are refused for the same reason.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    app: String,
    /// As constraints that are advice look at it: empty where it shall not count.
    image: String,
    shape: Shape,
    constraints: Constraints,
    /// Machines that go together or not at all.
    together: u32,
}

impl Alike {
    fn of(what: &What) -> Option<Self> {
        let What::Place { request, .. } = what else { return None };
        let PlaceRequest { app, image, shape, constraints, .. } = request;
        let image = if request.image_blind { String::new() } else { image.clone() };
        let (app, shape, constraints) = (app.clone(), shape.clone(), constraints.clone());
        Some(Self { app, image, shape, constraints, together: together(request) })
    }
}

fn together(request: &PlaceRequest) -> u32 {
    if request.all_or_nothing { request.count } else { 1 }
}

fn no_capacity(fleet: &Fleet, rev: Rev, what: &What) -> Option<Refused> {
    let groups = match what {
        What::Place { request, .. } if all_attached(fleet, request).is_some() => return all_attached(fleet, request),
        What::Place { request, .. } if together(request) > 1 => {
            let mut planner = Planner::default();
            planner.catch_up(fleet);
            match planner.plan(fleet, request) {
                Err(Refused::NoCapacity { groups, .. }) => Some(groups),
                _ => None,
            }
        }
        What::Place { request, .. } => without_room(fleet, &Ask::machine(fleet, request)),
        What::CreateVolume { request, .. } => match fleet.inherited(request) {
            Ok(inherited) => without_room(fleet, &Ask::volume(fleet, &request.inheriting(inherited.as_ref()))),
            Err(refused) => return Some(refused),
        },
        What::Command(_) => None,
    };
    groups.map(|groups| Refused::NoCapacity { rev, hosts: fleet.host_count(), groups, changes: Vec::new() })
}

/// Adds what would let a refused request fit, which costs a few looks more over the whole fleet.
fn with_changes(fleet: &Fleet, refused: Refused, what: &What) -> Refused {
    let (Refused::NoCapacity { rev, hosts, groups, .. }, What::Place { request, .. }) = (refused.clone(), what) else {
        return refused;
    };
    let relaxed = match together(request) {
        1 => relaxations(fleet, request),
        _ => changes(fleet, request, &fits(fleet, &Ask::machine(fleet, request))),
    };
    Refused::NoCapacity { rev, hosts, groups, changes: relaxed.into_iter().map(|relaxed| relaxed.change).collect() }
}

/// Where a machine may use any volume of a name, and none is left.
fn all_attached(fleet: &Fleet, request: &PlaceRequest) -> Option<Refused> {
    let (app, name) = (&request.app, &request.constraints.volume_name);
    let none_left = !name.is_empty() && fleet.unattached(app, name).next().is_none();
    let volumes = fleet.volumes_named(app, name);
    none_left.then(|| Refused::AllAttached { app: app.clone(), name: name.clone(), volumes })
}

fn without_room(fleet: &Fleet, ask: &Ask<'_>) -> Option<Vec<RejectionGroup>> {
    let groups = refusals(fleet, &InFlight::default(), ask);
    (groups.iter().map(|group| group.hosts).sum::<usize>() == fleet.host_count()).then_some(groups)
}
