//! Finds the best host for one machine without a ranking: for kinds of requests that come too seldom to follow every
//! change in between for them.
//!
//! Hosts that fetch something come first, as what they have says little of how soon they are ready; then those that have
//! the most of the image. Most are ruled out by a row of numbers, those left by a bound on their score, and few are looked
//! at in full.

use gantry_fleet::{Fleet, Journal};
use gantry_types::HostId;

use crate::{InFlight, Ranked, Sight, overlaps::Overlaps, present_bytes, sight::Asked};

#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    overlaps: Overlaps,
}

impl Search {
    /// The best host, the same as looking at all would find. `layers` says which hosts' layers changed.
    pub(crate) fn best(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        sight: &mut Sight,
        asked: &mut Asked<'_>,
        layers: &Journal,
    ) -> Option<Ranked> {
        let mut best: Option<Ranked> = None;
        let look = |sight: &mut Sight, asked: &mut Asked<'_>, best: &mut Option<Ranked>, id: HostId, bytes: u64| {
            let Some(bound) = sight.bound(fleet, asked, id, bytes) else { return };
            if best.is_some_and(|best| best.score >= bound) {
                return;
            }
            let Some(host) = fleet.host(id) else { return };
            *best = (*best).max(sight.look(fleet, in_flight, asked, host).ok());
        };
        if asked.ask.image.is_some() {
            let pulling: Vec<HostId> = sight.pulling().collect();
            for id in pulling {
                let bytes = fleet.host(id).map_or(0, |host| present_bytes(asked.ask.image, host));
                look(sight, asked, &mut best, id, bytes);
            }
        }
        for (bytes, hosts) in self.overlaps.of(fleet, asked.ask.image, layers).levels() {
            if best.is_some_and(|best| best.score >= sight.bound_of_all(asked, bytes)) {
                break;
            }
            hosts.for_each(|id| look(sight, asked, &mut best, id, bytes));
        }
        best
    }
}
