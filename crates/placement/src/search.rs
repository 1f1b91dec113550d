//! Finds the best host for one machine without a ranking: for kinds of requests that come too seldom to follow every
//! change in between for them.
//!
//! Hosts that fetch something of it come first, as what they have says little of how soon they are ready; then those that have
//! the most of the image, as long as they can be better than what was found. In a large fleet, of many hosts that have as
//! much of it the most promising kinds of room come first.

use std::{cmp::Reverse, collections::BinaryHeap, ops::ControlFlow};

use gantry_fleet::{Fleet, HostSet, Journal};
use gantry_types::HostId;

use crate::{
    InFlight, Ranked, Score, Sight,
    overlaps::Overlaps,
    sight::{Asked, PROMISING},
};

/// Hosts that are looked at in full, where outlines are estimates.
pub(crate) const LOOKS: usize = 4;
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
    candidates: Candidates,
    best: Option<Ranked>,
}

/// Hosts to look at, by the best that they can be.
#[derive(Debug, Default)]
struct Candidates {
    /// The worst first.
    bounds: BinaryHeap<Reverse<Score>>,
    /// Nothing where all are to be looked at.
    at_most: Option<usize>,
}

impl Candidates {
    /// Whether a host that can be no better than this need not be looked at.
    fn have_better(&self, bound: Score) -> bool {
        let is_full = self.at_most.is_some_and(|at_most| self.bounds.len() >= at_most);
        is_full && self.bounds.peek().is_some_and(|worst| worst.0 >= bound)
    }

    /// Takes a host in, unless there are better ones.
    fn offer(&mut self, bound: Score) {
        if self.have_better(bound) {
            return;
        }
        if self.at_most.is_some_and(|at_most| self.bounds.len() >= at_most) {
            self.bounds.pop();
        }
        self.bounds.push(Reverse(bound));
    }
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
        let candidates = Candidates { at_most: (!is_exact).then_some(LOOKS), ..Candidates::default() };
        let mut hunt = Hunt { fleet, in_flight, sight, asked, is_exact, candidates, best: None };
        hunt.run(&mut self.overlaps, layers);
        if hunt.best.is_none() && !is_exact {
            // Those that seemed to be good are refused for reasons that outlines do not show.
            (hunt.is_exact, hunt.candidates.at_most) = (true, None);
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
                hosts.for_each(|id| self.propose(id, bytes));
            } else {
                self.propose_by_room(hosts, bytes);
            }
        }
        self.look();
    }

    /// Whether a host that can be no better than this need not be looked at.
    fn has_better(&self, score: Score) -> bool {
        self.candidates.have_better(score) || self.is_exact && self.best.is_some_and(|best| best.score >= score)
    }

    /// Notes a host by the best that it can be, unless there are better ones.
    fn propose(&mut self, id: HostId, present_bytes: u64) {
        let Some(bound) = self.sight.bound(self.fleet, self.asked, id, present_bytes) else { return };
        if !self.has_better(bound) {
            self.candidates.offer(bound);
        }
    }

    /// Proposes hosts that have so many bytes of the image by what their room is like.
    fn propose_by_room(&mut self, hosts: &HostSet, present_bytes: u64) {
        let Self { fleet, sight, asked, candidates, .. } = self;
        let Some(known) = asked.known.take() else { return };
        for (score, like) in known.walk(sight.score_by_room(asked, present_bytes)) {
            if candidates.have_better(score) {
                break;
            }
            let (cost, mut may_do) = (known.guess(like).cost(), 0);
            sight.alike(like).for_each_common(hosts, |id| {
                let Some(bound) = sight.bound_of_cost(fleet, asked, id, present_bytes, cost) else {
                    return ControlFlow::Continue(());
                };
                candidates.offer(bound);
                may_do += 1;
                // The others are no better as far as is known.
                if may_do < LOOKS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if may_do > 0 && asked.promising.len() < PROMISING {
                asked.promising.push(like);
            }
        }
        asked.known = Some(known);
    }

    /// Looks at the candidates, the best first.
    fn look(&mut self) {
        let mut bounds: Vec<Score> = self.candidates.bounds.drain().map(|bound| bound.0).collect();
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
