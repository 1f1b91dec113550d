//! Finds the best host for one machine without a ranking: for kinds of requests that come too seldom to follow every
//! change in between for them.
//!
//! Hosts that fetch something of it come first, as what they have says little of how soon they are ready; then those that have
//! the most of the image, as long as they can be better than what was found. In a large fleet, of many hosts that have as
//! much of it the most promising kinds of room come first.

use std::{cmp::Reverse, collections::BinaryHeap};

use gantry_fleet::{Fleet, HostSet, Journal};
use gantry_types::HostId;
use smallvec::SmallVec;

use crate::{InFlight, Ranked, Score, Sight, overlaps::Overlaps, sight::Asked};

/// Hosts that are looked at in full, where outlines are estimates.
pub(crate) const LOOKS: usize = 8;
/// Hosts that are visited of those whose room is alike.
const VISITS: usize = 64;
/// Hosts that have as much of the image as each other, beyond which they come by their room.
const FEW: usize = 128;

#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    overlaps: Overlaps,
}

/// One search.
struct Hunt<'a, 'q> {
    fleet: &'a Fleet,
    in_flight: &'a InFlight,
    sight: &'a mut Sight,
    asked: &'a mut Asked<'q>,
    is_exact: bool,
    /// Hosts to look at, the worst first.
    candidates: BinaryHeap<Reverse<Score>>,
    best: Option<Ranked>,
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
        let is_exact = asked.is_exact();
        let mut hunt = Hunt { fleet, in_flight, sight, asked, is_exact, candidates: BinaryHeap::new(), best: None };
        hunt.run(&mut self.overlaps, layers);
        if hunt.best.is_none() && !is_exact {
            // Those that seemed to be good are refused for reasons that outlines do not show.
            hunt.is_exact = true;
            hunt.run(&mut self.overlaps, layers);
        }
        hunt.best
    }
}

impl Hunt<'_, '_> {
    fn run(&mut self, overlaps: &mut Overlaps, layers: &Journal) {
        let image = self.asked.ask.image;
        if image.is_some() {
            // Nothing is known of when they are ready without looking at them.
            for id in self.sight.pulling(self.asked) {
                let bound = self.sight.bound(self.fleet, self.asked, id, 0).filter(|_| self.sight.is_pulling(id));
                if bound.is_some_and(|bound| !self.has_better(bound)) {
                    self.look_at(id);
                }
            }
        }
        for (bytes, hosts) in overlaps.of(self.fleet, image, layers).levels() {
            if self.is_exact {
                self.look();
            }
            if self.has_better(self.sight.bound_of_all(self.asked, bytes)) {
                break;
            }
            if self.is_exact || hosts.len() <= FEW {
                hosts.for_each(|id| _ = self.propose(id, bytes));
            } else {
                self.propose_by_room(hosts, bytes);
            }
        }
        self.look();
    }

    /// Whether a host that can be no better than this need not be looked at.
    fn has_better(&self, score: Score) -> bool {
        if self.is_exact {
            return self.best.is_some_and(|best| best.score >= score);
        }
        self.candidates.len() >= LOOKS && self.candidates.peek().is_some_and(|worst| worst.0 >= score)
    }

    /// Notes a host by the best that it can be, unless there are better ones. Returns whether it may do at all.
    fn propose(&mut self, id: HostId, present_bytes: u64) -> bool {
        let Some(bound) = self.sight.bound(self.fleet, self.asked, id, present_bytes) else { return false };
        if self.has_better(bound) {
            return true;
        }
        if !self.is_exact && self.candidates.len() >= LOOKS {
            self.candidates.pop();
        }
        self.candidates.push(Reverse(bound));
        true
    }

    /// Proposes hosts that have so many bytes of the image by what their room is like.
    fn propose_by_room(&mut self, hosts: &HostSet, present_bytes: u64) {
        let mut likely = self.sight.likely(self.asked, present_bytes);
        while let Some((score, like)) = likely.pop() {
            if self.has_better(score) {
                return;
            }
            let some: SmallVec<[HostId; VISITS]> =
                self.sight.alike(like).take(VISITS).filter(|&id| hosts.contains(id)).collect();
            let mut may_do = 0;
            for id in some {
                may_do += usize::from(self.propose(id, present_bytes));
                // The others are no better as far as is known.
                if may_do >= LOOKS {
                    break;
                }
            }
        }
    }

    /// Looks at the candidates, the best first.
    fn look(&mut self) {
        let mut bounds: Vec<Score> = self.candidates.drain().map(|bound| bound.0).collect();
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        for bound in bounds {
            if self.best.is_some_and(|best| best.score >= bound) {
                break;
            }
            self.look_at(bound.host.0);
        }
    }

    fn look_at(&mut self, id: HostId) {
        let Some(host) = self.fleet.host(id) else { return };
        self.best = self.best.max(self.sight.look(self.fleet, self.in_flight, self.asked, host).ok());
    }
}
