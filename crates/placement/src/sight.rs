//! What a planner knows of every host beyond the fleet: what it has left with the plans in flight, what is being fetched to
//! it, and what its room is worth to what comes.
//!
//! All of it follows the journal of touched hosts. What is relearnt now and then, prices and the mix of what is asked for,
//! changes the scores of all hosts at once: then [`Sight::generation`] is another, and nothing scored before counts.

pub(crate) mod likes;
mod pulls;
mod recent;
mod room;
mod rows;
mod seen;

use std::collections::BTreeSet;

use gantry_fleet::{Fleet, Host, HostSet, ImageEntry, Journal};
use gantry_types::{HostId, Shape, Stamp};
use smallvec::SmallVec;

pub(crate) use self::room::more;
use self::{
    likes::{Known, Like, Likes},
    pulls::Pulls,
    recent::{Hosts, Recent},
    room::{bin, demand, kinds},
    rows::{Need, Rows},
    seen::Seen,
};
use crate::{
    Ask, InFlight, Ranked, Room, Score, Weights,
    constraint::first_refusal,
    outlook::{Bin, Demand, Fit, Mix, Outlook},
    readiness::{Estimate, Paces, PullQueue, at_best_us},
    refusal::Refusal,
    score::{self, FOLLOWERS},
    volumes::with_a_volume,
};

/// Pulls are looked at as of a time that goes on in steps: within one, nothing that was scored changes by itself.
const STEP_MS: u64 = 100;
/// Hosts whose pulls are looked at again with each step, whether or not somebody asks for them.
const PULLING_PER_STEP: usize = 64;
/// In a fleet of more hosts, what a machine strands is not told for all of them, only for those that are likely to be
/// good: the choice may then not be the very best one.
const HOSTS_EXACTLY: usize = 2_048;
/// Prices are set anew once one in so many hosts got a machine, and at least so many machines were placed.
const HOSTS_PER_PRICE: u64 = 4;
const MACHINES_PER_PRICE: u64 = 64;

/// Kinds of room that a search may find promising.
pub(crate) const PROMISING: usize = 32;

#[derive(Clone, Debug, Default)]
pub struct Sight {
    rows: Rows,
    /// By host number.
    details: Vec<Detail>,
    /// Hosts that fetched something when they were looked at last.
    pulling: BTreeSet<HostId>,
    /// Where among these the next look begins.
    pulling_next: HostId,
    /// The shortest times of all hosts so far.
    fastest: Option<Paces>,
    outlook: Outlook,
    likes: Likes,
    recent: Recent,
    kinds: Vec<String>,
    seen: Seen,
    /// What was known of layers of one content: what is missing of an image depends on it, on every host.
    twins_learnt: u64,
    now_ms: Stamp,
    /// Machines placed since prices were set.
    placed: u64,
    generation: u64,
    position: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Detail {
    bin: Bin,
    /// Of any placement, in steps; once asked for.
    least_cost: Option<i64>,
    paces: Paces,
    pulls: Pulls,
}

/// A request with all that is found out about it once.
#[derive(Debug)]
pub struct Asked<'a> {
    pub(crate) ask: Ask<'a>,
    pub(crate) weights: Weights,
    app_number: Option<u32>,
    demand: Option<Demand>,
    /// Whether a host's outline bounds what it scores; otherwise it is an estimate.
    is_exact: bool,
    /// What the demand costs on hosts that were not looked at; nothing in a small fleet.
    pub(crate) known: Option<Known>,
    /// Kinds of room that were promising in a search.
    pub(crate) promising: SmallVec<[Like; PROMISING]>,
    /// In a large fleet: hosts to which the image may be on its way.
    recent: Hosts,
    need: Need,
    /// Of the image, in layers whose content may be on a host under another digest.
    twin_bytes: u64,
}

/// What a feasible host would be like for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prospect {
    pub(crate) estimate: Estimate,
    /// What fetching takes at best that nobody else has asked for.
    pub(crate) fetch_us: u64,
    /// The part of the wait that those who come after will not have: all of it where nothing else is being fetched.
    pub(crate) alone_us: u64,
    pub(crate) fit: Option<Fit>,
    /// Further machines of the shape that would fit.
    pub(crate) more: u64,
}

/// What is known of a host without looking at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outline {
    pub(crate) host: HostId,
    pub(crate) region: u16,
    /// The wait, and [`Prospect::alone_us`], at least.
    pub(crate) ready_us: u64,
    pub(crate) more_at_most: u64,
    /// In steps of the outlook.
    pub(crate) least_cost: i64,
}

impl Sight {
    /// Over a fleet with these plans in flight. What comes is taken to be like what stands.
    pub fn of(fleet: &Fleet, in_flight: &InFlight) -> Self {
        let mut sight = Self::default();
        sight.relearn(fleet, in_flight);
        sight
    }

    /// Machines of a shape are asked for.
    pub(crate) fn count(&mut self, shape: &Shape, machines: u64) {
        self.seen.add(shape, machines);
    }

    /// A machine is placed.
    pub(crate) fn placed(&mut self, image: Option<&ImageEntry>, host: HostId) {
        self.placed += 1;
        image.into_iter().for_each(|image| self.recent.add(image, host));
    }

    /// Forgets everything but what was asked for.
    pub(crate) fn reset(&mut self) {
        self.position = None;
    }

    /// What was scored under another generation says nothing now.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// As of when pulls are looked at.
    pub(crate) fn now_ms(&self) -> Stamp {
        self.now_ms
    }

    /// Takes over what was touched, what time it is, and what was learnt. Between two calls nothing but
    /// [`Sight::follow`] changes what hosts score.
    pub(crate) fn catch_up(&mut self, fleet: &Fleet, in_flight: &InFlight, journal: &Journal) {
        let now = fleet.now();
        if now < self.now_ms || now >= self.now_ms + STEP_MS {
            self.now_ms = now;
            if !is_large(fleet) {
                self.look_at_pulls(fleet, in_flight);
            }
        }
        let relearn = self.position.is_none() || self.seen.is_news() || self.rows.is_crowded(fleet);
        if relearn || self.follow(fleet, in_flight, journal) {
            self.relearn(fleet, in_flight);
        } else if self.placed >= MACHINES_PER_PRICE.max(fleet.host_count() as u64 / HOSTS_PER_PRICE) {
            self.placed = 0;
            if self.outlook.reprice() {
                self.likes.age();
                self.generation += 1;
            }
        }
        if self.twins_learnt != fleet.twins_learnt() {
            fleet.hosts().for_each(|host| self.forget_pulls_of(fleet, in_flight, host));
            self.twins_learnt = fleet.twins_learnt();
            self.generation += 1;
        }
        self.position = Some(journal.end());
    }

    /// Takes over what was touched. Returns whether all must be learnt anew.
    pub(crate) fn follow(&mut self, fleet: &Fleet, in_flight: &InFlight, journal: &Journal) -> bool {
        let Some(touched) = self.position.and_then(|position| journal.since(position)) else { return true };
        let mut is_new = false;
        let mut hosts: SmallVec<[HostId; 16]> = touched.map(|touched| touched.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.into_iter().for_each(|host| is_new |= self.renew(fleet, in_flight, host));
        self.position = Some(journal.end());
        is_new && kinds(&self.rows) != self.kinds
    }

    fn relearn(&mut self, fleet: &Fleet, in_flight: &InFlight) {
        if self.seen.is_empty() {
            self.seen.add_standing(fleet);
        }
        (self.rows, self.details, self.pulling) = (Rows::default(), Vec::new(), BTreeSet::new());
        (self.fastest, self.likes) = (None, Likes::default());
        self.outlook = Outlook::default();
        self.now_ms = fleet.now();
        for host in fleet.hosts() {
            in_flight.with_rest(fleet, host, |room| self.rows.renew(host.id, Some(room)));
        }
        self.kinds = kinds(&self.rows);
        let mut mix = Mix::of_kinds(self.kinds.iter().map(String::as_str));
        mix.learn(self.seen.shapes().map(|(shape, count)| (demand(&mix, &self.kinds, shape), count)).collect());
        self.seen.learnt();
        let mut bins = Vec::with_capacity(fleet.host_count());
        for host in fleet.hosts() {
            bins.push(in_flight.with_rest(fleet, host, |room| bin(&mix, room)));
        }
        self.outlook = Outlook::new(mix, bins.iter());
        for (id, bin) in fleet.host_ids().zip(bins) {
            self.detail(fleet, in_flight, id, bin);
        }
        self.twins_learnt = fleet.twins_learnt();
        self.placed = 0;
        self.generation += 1;
    }

    /// Returns whether the host's declaration is new.
    fn renew(&mut self, fleet: &Fleet, in_flight: &InFlight, id: HostId) -> bool {
        let (rows, mix) = (&mut self.rows, self.outlook.mix());
        let (is_new, after) = match fleet.host(id) {
            Some(host) => in_flight.with_rest(fleet, host, |room| (rows.renew(id, Some(room)), bin(mix, room))),
            None => (rows.renew(id, None), Bin::default()),
        };
        let before = self.details.get(id as usize).map(|detail| &detail.bin);
        if before != Some(&after) {
            self.outlook.changed(before.unwrap_or(&Bin::default()), &after);
        }
        self.detail(fleet, in_flight, id, after);
        is_new
    }

    fn detail(&mut self, fleet: &Fleet, in_flight: &InFlight, id: HostId, bin: Bin) {
        let at = id as usize;
        if self.details.len() <= at {
            self.details.resize_with(at + 1, Detail::default);
        }
        let detail = &mut self.details[at];
        if detail.bin != bin {
            (detail.bin, detail.least_cost) = (bin, None);
            self.likes.set(id, fleet.host(id).map(|_| &detail.bin));
        }
        let Some(host) = fleet.host(id) else {
            detail.pulls = Pulls::Nothing;
            self.pulling.remove(&id);
            return;
        };
        detail.paces = Paces::of(&host.rates());
        self.fastest = Some(self.fastest.map_or(detail.paces, |fastest| fastest.faster(&detail.paces)));
        self.forget_pulls_of(fleet, in_flight, host);
    }

    /// Hosts to which what is asked for may be on its way. In a large fleet, only those that got the image lately.
    pub(crate) fn pulling(&self, asked: &Asked<'_>) -> Vec<HostId> {
        if asked.is_exact() { self.pulling.iter().copied().collect() } else { asked.recent.to_vec() }
    }

    pub(crate) fn is_pulling(&self, id: HostId) -> bool {
        self.details.get(id as usize).is_some_and(|detail| detail.may_pull())
    }

    pub(crate) fn asked<'a>(&self, fleet: &Fleet, ask: Ask<'a>) -> Asked<'a> {
        let demand = ask.shape.map(|shape| demand(self.outlook.mix(), &self.kinds, shape));
        let (app_number, need) = (fleet.app_number(ask.app), Need::of(&ask));
        let layers = ask.image.into_iter().flat_map(|image| image.layers.iter());
        let twins = layers.filter(|layer| !fleet.twins(layer.layer).is_empty());
        let twin_bytes = twins.map(|layer| layer.size_bytes).sum();
        let weights = Weights::of(fleet.policy(ask.app));
        Asked {
            ask,
            weights,
            app_number,
            demand,
            is_exact: true,
            known: None,
            promising: SmallVec::new(),
            recent: Hosts::new(),
            need,
            twin_bytes,
        }
    }

    /// As [`Sight::asked`], for finding a host without looking at all of them. To be handed back with [`Sight::done`].
    pub(crate) fn asked_quickly<'a>(&mut self, fleet: &Fleet, ask: Ask<'a>) -> Asked<'a> {
        let asked = self.asked(fleet, ask);
        let demand = asked.demand.as_ref().filter(|_| is_large(fleet));
        let known = demand.map(|demand| self.likes.take(&mut self.outlook, demand));
        let recent = asked.ask.image.filter(|_| known.is_some()).map(|image| self.recent.hosts(image));
        Asked { is_exact: known.is_none(), known, recent: recent.unwrap_or_default(), ..asked }
    }

    pub(crate) fn done(&mut self, asked: Asked<'_>) {
        if let Some(known) = asked.known {
            self.likes.put_back(&mut self.outlook, known, &asked.promising);
        }
    }

    /// A host's place, or why it has none. Where any volume of a name will do, it is the place with the one that a machine
    /// would get there.
    pub(crate) fn look(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        asked: &Asked<'_>,
        host: &Host,
    ) -> Result<Ranked, Refusal> {
        if asked.ask.is_by_name() {
            let with = |ask: &Ask<'_>| self.look_with(fleet, in_flight, asked, ask, host);
            if let Some((_, place)) = with_a_volume(fleet, in_flight, &asked.ask, host, with) {
                return place;
            }
        }
        self.look_with(fleet, in_flight, asked, &asked.ask, host)
    }

    /// `ask` says which volume is used.
    fn look_with(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        asked: &Asked<'_>,
        ask: &Ask<'_>,
        host: &Host,
    ) -> Result<Ranked, Refusal> {
        in_flight.with_room(fleet, host, ask, asked.app_number, |room| {
            if let Some((constraint, no)) = first_refusal(ask, room) {
                return Err(Refusal { constraint, shortfall: no.shortfall });
            }
            let prospect = self.prospect(fleet, in_flight, asked, room);
            Ok(score::ranked(asked, room, &prospect))
        })
    }

    fn prospect(&mut self, fleet: &Fleet, in_flight: &InFlight, asked: &Asked<'_>, room: &Room<'_>) -> Prospect {
        let host = room.host;
        let estimate = asked.ask.image.map(|image| self.estimate(fleet, in_flight, host, image)).unwrap_or_default();
        let detail = &self.details[host.id as usize];
        // What is held for the machine is its own.
        let with_held = (!room.ended.is_empty()).then(|| bin(self.outlook.mix(), room));
        let bin = with_held.as_ref().unwrap_or(&detail.bin);
        let fit = asked.demand.as_ref().and_then(|demand| self.outlook.fit(bin, demand));
        let alone_us = match (detail.may_pull(), asked.ask.image) {
            (true, Some(image)) if estimate.fetch_bytes + estimate.unpack_bytes > 0 => {
                let alone = PullQueue::idle(detail.paces, self.now_ms).estimate(fleet, host, image);
                estimate.ready_us.min(alone.ready_us)
            }
            (true, _) => 0,
            (false, _) => estimate.ready_us,
        };
        let fetch_us = at_best_us(estimate.fetch_bytes, &detail.paces);
        Prospect { estimate, fetch_us, alone_us, fit, more: asked.ask.shape.map_or(0, |shape| more(shape, room)) }
    }

    /// The best that a host can score that has so many bytes of the image; nothing where it is refused for certain.
    pub(crate) fn bound(
        &mut self,
        fleet: &Fleet,
        asked: &mut Asked<'_>,
        id: HostId,
        present_bytes: u64,
    ) -> Option<Score> {
        let least_cost = match (&asked.demand, &asked.known) {
            (None, _) => 0,
            (Some(_), Some(known)) => self.likes.of(id).map_or_else(|| known.least(), |like| known.guess(like).cost()),
            (Some(_), None) => {
                let detail = self.details.get_mut(id as usize)?;
                *detail.least_cost.get_or_insert_with(|| self.outlook.least_cost(&detail.bin))
            }
        };
        self.bound_of_cost(fleet, asked, id, present_bytes, least_cost)
    }

    /// The same, where it is known how much the host costs at least.
    pub(crate) fn bound_of_cost(
        &self,
        fleet: &Fleet,
        asked: &mut Asked<'_>,
        id: HostId,
        present_bytes: u64,
        least_cost: i64,
    ) -> Option<Score> {
        let (&row, region) = self.rows.may_fit(fleet, asked, id)?;
        let detail = &self.details[id as usize];
        let missing_bytes = asked.fetched_at_least_bytes(present_bytes);
        let comes = detail.may_pull() && (asked.is_exact || asked.recent.contains(&id));
        let outline = Outline {
            host: id,
            region,
            ready_us: if comes { 0 } else { at_best_us(missing_bytes, &detail.paces) },
            more_at_most: asked.need.more_at_most(&row, FOLLOWERS),
            least_cost,
        };
        Some(Score::at_best(&asked.weights, &outline))
    }

    /// What hosts that have so many bytes of the image score at best, by what they cost and how many further machines fit.
    pub(crate) fn score_by_room(&self, asked: &Asked<'_>, present_bytes: u64) -> impl Fn(i64, u64) -> Score + use<> {
        let (weights, ready_us) = (asked.weights, self.at_best_us(asked, present_bytes));
        move |least_cost, more_at_most| {
            // The last of those that are as good: once enough are known, others like them are not worth finding.
            Score::at_best(&weights, &Outline { host: HostId::MAX, region: 0, ready_us, more_at_most, least_cost })
        }
    }

    /// Hosts with this kind of room.
    pub(crate) fn alike(&self, like: Like) -> &HostSet {
        self.likes.hosts(like)
    }

    fn at_best_us(&self, asked: &Asked<'_>, present_bytes: u64) -> u64 {
        at_best_us(asked.fetched_at_least_bytes(present_bytes), &self.fastest.unwrap_or_default())
    }

    /// The best that any host can score that fetches nothing and has so many bytes of the image or fewer.
    pub(crate) fn bound_of_all(&self, asked: &Asked<'_>, present_bytes: u64) -> Score {
        let outline = Outline {
            host: if asked.is_exact { 0 } else { HostId::MAX },
            region: 0,
            ready_us: self.at_best_us(asked, present_bytes),
            more_at_most: FOLLOWERS,
            least_cost: match (&asked.demand, &asked.known) {
                (None, _) => 0,
                (_, Some(known)) => known.least(),
                (_, None) => i64::MIN / 2,
            },
        };
        Score::at_best(&asked.weights, &outline)
    }
}

impl Detail {
    fn may_pull(&self) -> bool {
        !matches!(self.pulls, Pulls::Nothing)
    }
}

/// Whether what a machine strands is not told for all hosts, and what they fetch only for those that are looked at.
fn is_large(fleet: &Fleet) -> bool {
    fleet.host_count() > HOSTS_EXACTLY
}

impl Asked<'_> {
    /// What a host that fetches nothing yet must fetch of the image when it has so many bytes of it. What is there under
    /// another digest is not looked for, so all of it may be.
    fn fetched_at_least_bytes(&self, present_bytes: u64) -> u64 {
        let size_bytes = self.ask.image.map_or(0, |image| image.size_bytes);
        size_bytes.saturating_sub(present_bytes).saturating_sub(self.twin_bytes)
    }

    /// Whether what is told of hosts without looking at them is true of all of them.
    pub(crate) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Where in the list of regions one is; the last place where it is not, which a constraint refuses.
    pub(crate) fn region_place(&self, fleet: &Fleet, region: &str) -> u16 {
        fleet
            .region_place(self.ask.constraints, region)
            .map_or(u16::MAX, |place| place.min(usize::from(u16::MAX)) as u16)
    }
}

/// Times beyond a year are all the same.
pub(crate) fn clamped(us: u64) -> i64 {
    us.min(31_536_000_000_000) as i64
}
