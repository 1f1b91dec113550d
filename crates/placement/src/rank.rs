//! Looks at every host: for explanations, for rare requests, and as the oracle of the planner's tests.

use gantry_fleet::Fleet;

use crate::{Ask, InFlight, Ranked, Sight, sight::Asked};

/// All feasible hosts, best first.
pub fn rank(fleet: &Fleet, in_flight: &InFlight, sight: &mut Sight, ask: Ask<'_>) -> Vec<Ranked> {
    let asked = sight.asked(fleet, ask);
    let mut ranked: Vec<Ranked> = feasible(fleet, in_flight, sight, &asked).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked
}

/// The best feasible host.
pub fn best(fleet: &Fleet, in_flight: &InFlight, sight: &mut Sight, ask: Ask<'_>) -> Option<Ranked> {
    let asked = sight.asked(fleet, ask);
    feasible(fleet, in_flight, sight, &asked).max()
}

fn feasible<'a>(
    fleet: &'a Fleet,
    in_flight: &'a InFlight,
    sight: &'a mut Sight,
    asked: &'a Asked<'a>,
) -> impl Iterator<Item = Ranked> + 'a {
    fleet.hosts().filter_map(move |host| sight.look(fleet, in_flight, asked, host).ok())
}
