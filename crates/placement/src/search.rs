//! Finds the best host for one machine without a ranking: for kinds of requests that come too seldom to follow every
//! change in between for them.
//!
//! Hosts that fetch something come first, as what they have says little of how soon they are ready; then those that have
//! the most of the image, as long as they can be better than what was found. Most are ruled out by a row of numbers, and
//! of those left the best by their [outline](crate::sight::Outline) are looked at in full.

use std::{cmp::Reverse, collections::BinaryHeap};

use gantry_fleet::{Fleet, Journal};
use gantry_types::HostId;

use crate::{InFlight, Ranked, Score, Sight, overlaps::Overlaps, present_bytes, sight::Asked};

/// Hosts of one level that are looked at in full where outlines are estimates.
pub(crate) const LOOKS: usize = 16;

#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    overlaps: Overlaps,
    /// Hosts of a level that are looked at in the end, the worst first: kept for its memory.
    candidates: BinaryHeap<Reverse<Score>>,
}

impl Search {
    /// The best host. `layers` says which hosts' layers changed.
    pub(crate) fn best(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        sight: &mut Sight,
        asked: &mut Asked<'_>,
        layers: &Journal,
    ) -> Option<Ranked> {
        let Self { overlaps, candidates } = self;
        let mut best: Option<Ranked> = None;
        if asked.ask.image.is_some() {
            let pulling: Vec<HostId> = sight.pulling().collect();
            for id in pulling {
                let bytes = fleet.host(id).map_or(0, |host| present_bytes(asked.ask.image, host));
                propose(candidates, best, sight.bound(fleet, asked, id, bytes), asked.is_exact());
            }
            look(fleet, in_flight, sight, asked, candidates, &mut best);
        }
        for (bytes, hosts) in overlaps.of(fleet, asked.ask.image, layers).levels() {
            let bound = sight.bound_of_all(asked, bytes);
            if best.is_some_and(|best| best.score >= bound) {
                break;
            }
            hosts.for_each(|id| {
                if best.is_none_or(|best| sight.may_be_better(asked, id, bound, best.score)) {
                    propose(candidates, best, sight.bound(fleet, asked, id, bytes), asked.is_exact());
                }
            });
            look(fleet, in_flight, sight, asked, candidates, &mut best);
        }
        best
    }
}

/// Notes a host by the best that it can be, unless others are better.
fn propose(candidates: &mut BinaryHeap<Reverse<Score>>, best: Option<Ranked>, bound: Option<Score>, is_exact: bool) {
    let Some(bound) = bound else { return };
    if best.is_some_and(|best| best.score >= bound) {
        return;
    }
    if !is_exact && candidates.len() >= LOOKS {
        if candidates.peek().is_some_and(|worst| worst.0 >= bound) {
            return;
        }
        candidates.pop();
    }
    candidates.push(Reverse(bound));
}

/// Looks at the candidates, the best first.
fn look(
    fleet: &Fleet,
    in_flight: &InFlight,
    sight: &mut Sight,
    asked: &Asked<'_>,
    candidates: &mut BinaryHeap<Reverse<Score>>,
    best: &mut Option<Ranked>,
) {
    let mut bounds: Vec<Score> = candidates.drain().map(|bound| bound.0).collect();
    bounds.sort_unstable_by(|a, b| b.cmp(a));
    for bound in bounds {
        if best.is_some_and(|best| best.score >= bound) {
            break;
        }
        let Some(host) = fleet.host(bound.host.0) else { continue };
        *best = (*best).max(sight.look(fleet, in_flight, asked, host).ok());
    }
}
