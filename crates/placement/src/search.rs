//! Finds the best host for one machine without a ranking: for kinds of requests that come too seldom to follow every
//! change in between for them.
//!
//! Hosts that have the most of the image come first. Most are ruled out by a row of numbers, those left by a bound on their
//! score, and few are looked at in full.

use gantry_fleet::{Fleet, Journal};

use crate::{Ask, InFlight, Ranked, Score, overlaps::Overlaps, rank::ranked, rooms::Rooms};

#[derive(Debug, Default)]
pub(crate) struct Search {
    rooms: Rooms,
    overlaps: Overlaps,
}

impl Search {
    /// The best host, the same as looking at all would find. `journal` says which hosts were touched, `layers` those of
    /// them whose layers changed.
    pub(crate) fn best(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        ask: &Ask<'_>,
        journal: &Journal,
        layers: &Journal,
    ) -> Option<Ranked> {
        let app_number = fleet.app_number(ask.app);
        self.rooms.catch_up(fleet, in_flight, journal);
        let mut need = self.rooms.need(ask);
        let mut best: Option<Ranked> = None;
        for (present_bytes, hosts) in self.overlaps.of(fleet, ask.image, layers).levels() {
            if best.is_some_and(|best| best.score >= Score::at_best(ask, 0, present_bytes)) {
                break;
            }
            hosts.for_each(|id| {
                let Some(row) = self.rooms.may_fit(fleet, &mut need, id) else { return };
                let bound = Score::at_best_with(ask, id, present_bytes, row.gpu_milli);
                if best.is_some_and(|best| best.score >= bound) {
                    return;
                }
                let Some(host) = fleet.host(id) else { return };
                let found = ranked(fleet, in_flight, ask, app_number, host, present_bytes).ok();
                best = best.max(found);
            });
        }
        best
    }
}
