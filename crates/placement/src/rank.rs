//! Looks at every host: for explanations, for rare requests, and as the oracle of the planner's tests.

use gantry_fleet::{Fleet, Host};

use crate::{Ask, InFlight, Score, constraint::first_refusal, present_bytes, refusal::Refusal};

/// A feasible host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranked {
    pub score: Score,
    pub present_bytes: u64,
}

/// All feasible hosts, best first.
pub fn rank(fleet: &Fleet, in_flight: &InFlight, ask: &Ask<'_>) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = feasible(fleet, in_flight, ask).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked
}

/// The best feasible host.
pub fn best(fleet: &Fleet, in_flight: &InFlight, ask: &Ask<'_>) -> Option<Ranked> {
    feasible(fleet, in_flight, ask).max()
}

fn feasible<'a>(fleet: &'a Fleet, in_flight: &'a InFlight, ask: &'a Ask<'a>) -> impl Iterator<Item = Ranked> + 'a {
    let app_number = fleet.app_number(ask.app);
    fleet
        .hosts()
        .filter_map(move |host| ranked(fleet, in_flight, ask, app_number, host, present_bytes(ask.image, host)).ok())
}

/// One host's place, given the bytes of the image that it has, or why it has none.
pub(crate) fn ranked(
    fleet: &Fleet,
    in_flight: &InFlight,
    ask: &Ask<'_>,
    app_number: Option<u32>,
    host: &Host,
    present_bytes: u64,
) -> Result<Ranked, Refusal> {
    in_flight.with_room(fleet, host, ask.app, app_number, |room| match first_refusal(ask, room) {
        None => Ok(Ranked { score: Score::new(ask, room, present_bytes), present_bytes }),
        Some((constraint, no)) => Err(Refusal { constraint, shortfall: no.shortfall }),
    })
}
