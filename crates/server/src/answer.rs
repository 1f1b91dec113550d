//! From what was applied to what callers are told.

use std::sync::Arc;

use gantry_fleet::Fleet;
use gantry_machine::{Effect, Outcome};
use gantry_placement::{Choice, Costs, TERMS};
use gantry_proto::{convert, v1};
use gantry_types::{HostId, HostSpec, Rev};

use crate::{
    call::{Answer, Answered, CallError, Placed},
    decider::Context,
};

/// What the caller of a command is told. Hosts are looked up by what was granted: the answer may be that of an earlier
/// request with the same id, even of one in the same log entry, and not what this call planned.
pub(crate) fn to(fleet: &Fleet, outcome: Outcome, context: Context) -> Answer {
    match outcome? {
        Effect::Placed { rev, reservations, missing } => {
            let hosts = reservations.iter().map(|row| host(fleet, row.plan.host)).collect();
            let planned = match context {
                Context::Reservation { plans, choices, rejections } => Some((plans, choices, rejections)),
                Context::Plain => None,
            };
            let own = planned.filter(|(plans, ..)| plans.iter().eq(reservations.iter().map(|row| &row.plan)));
            let (_, choices, rejections) = own.unwrap_or_default();
            Ok(Answered::Placed(Placed { rev, reservations, hosts, missing, rejections, choices }))
        }
        Effect::VolumeCreated { rev, volume } => {
            let host = host(fleet, volume.host);
            Ok(Answered::Volume { rev, volume, host })
        }
        effect => Ok(Answered::Did(effect)),
    }
}

/// A host's declaration; an empty one where it is long gone.
fn host(fleet: &Fleet, id: HostId) -> Arc<HostSpec> {
    let live = fleet.host(id).map(|host| Arc::clone(&host.spec));
    live.unwrap_or_else(|| Arc::new(fleet.host_spec(id).cloned().unwrap_or_default()))
}

impl From<Placed> for v1::PlaceResponse {
    fn from(placed: Placed) -> Self {
        let rows = placed.reservations.iter().zip(&placed.hosts);
        Self {
            rev: placed.rev,
            reservations: rows.map(|(row, host)| convert::reservation(row, host)).collect(),
            missing: placed.missing,
            rejections: convert::rejections(&placed.rejections),
            choices: placed.choices.iter().map(choice).collect(),
        }
    }
}

pub(crate) fn choice(choice: &Choice) -> v1::Choice {
    v1::Choice {
        terms: terms(&choice.costs_us),
        image_bytes: choice.image_bytes,
        present_bytes: choice.present_bytes,
        image_known: choice.image_known,
        ready_ms: choice.estimate.ready_us.div_ceil(1_000),
    }
}

/// Score terms by their names.
pub(crate) fn terms(values: &Costs) -> Vec<v1::ScoreTerm> {
    let named = TERMS.iter().zip(values);
    named.map(|(term, &value)| v1::ScoreTerm { name: term.name.to_owned(), value }).collect()
}

/// The position of something that was simply done.
pub(crate) fn rev(answer: Answer) -> Result<Rev, CallError> {
    match answer? {
        Answered::Placed(placed) => Ok(placed.rev),
        Answered::Volume { rev, .. } => Ok(rev),
        Answered::Did(effect) => Ok(effect.rev()),
    }
}
