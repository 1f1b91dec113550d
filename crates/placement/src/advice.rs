//! Which images hosts had better fetch before somebody waits for them.
//!
//! Machines of an image come in bursts, and most of what a burst waits for is new to the whole fleet: its tag has moved, or
//! nobody asked for it before. No choice of hosts helps there, only fetching ahead. What that is worth, for one image on one
//! host, by what the advisor has seen:
//!
//! - The image stands for what it stands for until its tag moves. With `r` bursts and `m` moves a second the chance that a
//!   burst comes first is `r / (r + m)`. Both are told from what was seen of the image, `(2 n + 1) / (2 t + g)`: `n` times in
//!   the time `t`, and `g` the mean time between two such events of one image of the fleet, which stands for all when nothing
//!   was seen yet.
//! - A burst has a usual size. As far as hosts that have the image have no room for it, a copy on one with room for `f`
//!   machines saves these machines the wait. The longer it takes until the burst comes, the less is known of the room then:
//!   the fleet's mean counts with the part that is not known.
//! - A machine that does not get such a host waits for what the best other host lacks. So a copy is worth
//!   `chance * machines * lacking there`, and costs what the host lacks. The best ratio goes first.
//!
//! What may be fetched is what knowing the caches has saved: of the bytes that machines would have fetched on any host, less
//! those that they did fetch, a part is spent. So a fleet with advice fetches less than one that is placed blindly.

mod name;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use gantry_fleet::{Event, EventKind, Fleet};
use gantry_types::{HostId, Reservation, Stamp};

use self::name::{Name, Question, Rates};

/// Images that are looked after; of later ones nothing is known.
const NAMES: usize = 65_536;
/// Hosts that are looked at in all with one question, and images at least and at most.
const VISITS: usize = 200_000;
const EXAMINED: std::ops::RangeInclusive<usize> = 4..=512;
/// Hosts proposed for one image with one question.
const HOSTS_AT_ONCE: usize = 4;

/// How much may be fetched ahead.
#[derive(Clone, Copy, Debug)]
pub struct AdviceRules {
    /// The part of the saved bytes that may be spent, in thousandths.
    pub part_milli: u64,
    /// Saved bytes that are kept for later; what is not spent by then is saved for good.
    pub keep_bytes: u64,
}

impl Default for AdviceRules {
    fn default() -> Self {
        Self { part_milli: 500, keep_bytes: 20_000_000_000 }
    }
}

/// What one host should fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchAdvice {
    pub host: HostId,
    pub reference: String,
    /// What the host lacks of it, compressed.
    pub bytes: u64,
    pub why: Why,
}

/// Why it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// That a burst comes before the tag moves.
    pub chance_percent: u32,
    /// The usual size of a burst, and machines for which hosts that have the image have room.
    pub burst: u64,
    pub room: u64,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chance_percent, burst, room } = self;
        write!(f, "{burst} machines are likely ({chance_percent} %), and hosts that have it have room for {room}")
    }
}

/// A piece of advice by what it is worth.
#[derive(Debug)]
struct Candidate {
    worth: u128,
    advice: FetchAdvice,
}

/// What is known of demand, and what may be spent. A value of its own: the same events and questions, the same advice.
#[derive(Debug)]
pub struct Advisor {
    rules: AdviceRules,
    names: BTreeMap<String, Name>,
    /// Images that are looked at first: something happened to them.
    stirred: BTreeSet<String>,
    /// Where looking at the others goes on.
    next: String,
    since: Stamp,
    bursts: u64,
    moves: u64,
    /// Machines of all bursts.
    machines: u64,
    /// What the last machine was like: so are those of images that nobody has asked for.
    usual: Option<Reservation>,
    budget_bytes: u64,
}

impl Advisor {
    /// Over a fleet, of whose past only what stands is known.
    pub fn of(fleet: &Fleet, rules: AdviceRules) -> Self {
        let mut advisor = Self {
            rules,
            names: BTreeMap::new(),
            stirred: BTreeSet::new(),
            next: String::new(),
            since: fleet.now(),
            bursts: 0,
            moves: 0,
            machines: 0,
            usual: None,
            budget_bytes: 0,
        };
        fleet.images_after("").for_each(|entry| advisor.recorded(fleet, &entry.image.reference));
        fleet.reservations_after(0).for_each(|row| advisor.seen(fleet, row));
        advisor
    }

    /// Takes over what has happened.
    pub fn follow(&mut self, fleet: &Fleet, events: &[Event]) {
        for event in events {
            match &event.kind {
                EventKind::ImageRecorded(reference) => self.recorded(fleet, reference),
                EventKind::Reserved(row) => {
                    self.seen(fleet, row);
                    self.save(fleet, row);
                }
                _ => {}
            }
        }
    }

    fn recorded(&mut self, fleet: &Fleet, reference: &str) {
        let Some(image) = fleet.image(reference) else { return };
        if let Some(name) = self.names.get_mut(reference) {
            self.moves += u64::from(name.moved(image));
        } else if self.names.len() < NAMES {
            self.names.insert(reference.to_owned(), Name::new(fleet.now(), image));
        } else {
            return;
        }
        self.stirred.insert(reference.to_owned());
    }

    fn seen(&mut self, fleet: &Fleet, row: &Reservation) {
        let Some(name) = self.names.get_mut(&row.image) else { return };
        let region = fleet.host_spec(row.plan.host).map_or("", |spec| spec.region.as_str());
        self.bursts += u64::from(name.machine(row, region));
        self.machines += 1;
        self.usual = Some(row.clone());
        self.stirred.insert(row.image.clone());
    }

    /// A machine that is placed blindly fetches what the mean host lacks.
    fn save(&mut self, fleet: &Fleet, row: &Reservation) {
        let Some(image) = fleet.image(&row.image) else { return };
        let (mut present, mut missing, hosts) = (0_u128, 0, fleet.host_count().max(1) as u128);
        let at = fleet.host(row.plan.host);
        for layer in image.layers.iter() {
            present += u128::from(layer.size_bytes) * fleet.hosts_with(layer.layer).len() as u128;
            if at.is_some_and(|host| host.holds(layer.layer).is_none()) {
                missing += layer.size_bytes;
            }
        }
        // The first machine on a host fetches, and those that come with it find it fetching.
        let is_first = self.names.get_mut(&row.image).is_none_or(|name| name.is_first_on(row.plan.host));
        let blindly = image.size_bytes.saturating_sub((present / hosts) as u64);
        let saved = blindly.saturating_sub(if is_first { missing } else { 0 });
        let spend = u128::from(saved) * u128::from(self.rules.part_milli) / 1_000;
        self.budget_bytes = self.budget_bytes.saturating_add(spend as u64).min(self.rules.keep_bytes);
    }

    /// What hosts should fetch now, the best first; at most `limit`, and one a host. Hosts that are `busy` are left out.
    pub fn fetches(&mut self, fleet: &Fleet, limit: usize, busy: &BTreeSet<HostId>) -> Vec<FetchAdvice> {
        if self.budget_bytes == 0 {
            return Vec::new();
        }
        let mut candidates = Vec::new();
        for reference in self.examined(fleet) {
            self.examine(fleet, &reference, busy, &mut candidates);
        }
        candidates.sort_by(|a, b| {
            let key = |candidate: &Candidate| (candidate.advice.reference.clone(), candidate.advice.host);
            b.worth.cmp(&a.worth).then_with(|| key(a).cmp(&key(b)))
        });
        let (mut taken, mut chosen) = (BTreeSet::new(), Vec::new());
        for Candidate { advice, .. } in candidates {
            if chosen.len() >= limit || advice.bytes > self.budget_bytes {
                break;
            }
            if taken.insert(advice.host) {
                self.budget_bytes -= advice.bytes;
                // There may be more to fetch for it, or for others once it lies there.
                self.stirred.insert(advice.reference.clone());
                chosen.push(advice);
            }
        }
        chosen
    }

    /// Images to look at: those to which something happened, and some of the others in turn.
    fn examined(&mut self, fleet: &Fleet) -> Vec<String> {
        let at_most = (VISITS / fleet.host_count().max(1)).clamp(*EXAMINED.start(), *EXAMINED.end());
        let mut examined = Vec::new();
        while examined.len() < at_most
            && let Some(reference) = self.stirred.pop_first()
        {
            examined.push(reference);
        }
        let rest = at_most - examined.len();
        let after = (std::ops::Bound::Excluded(self.next.clone()), std::ops::Bound::Unbounded);
        let others: Vec<String> = self.names.range(after).take(rest).map(|(reference, _)| reference.clone()).collect();
        self.next = if others.len() < rest { String::new() } else { others.last().cloned().unwrap_or_default() };
        others.into_iter().for_each(|other| {
            if !examined.contains(&other) {
                examined.push(other);
            }
        });
        examined
    }

    fn examine(&mut self, fleet: &Fleet, reference: &str, busy: &BTreeSet<HostId>, candidates: &mut Vec<Candidate>) {
        let Some(image) = fleet.image(reference) else {
            self.names.remove(reference);
            return;
        };
        let Some(name) = self.names.get(reference) else { return };
        let elapsed_ms = fleet.now().saturating_sub(self.since).max(1) * self.names.len() as u64;
        let rates =
            Rates { gap_ms: elapsed_ms / (self.bursts + 1), life_ms: elapsed_ms / (self.moves + 1), now: fleet.now() };
        let usual_burst = (self.machines / self.bursts.max(1)).max(1);
        let Some(like) = name.like().or(self.usual.as_ref()) else { return };
        let question = Question { fleet, image, like, rates, usual_burst, busy, at_most: HOSTS_AT_ONCE };
        let found = name.look(&question);
        candidates.extend(found.into_iter().map(|(worth, host, bytes, why)| Candidate {
            worth,
            advice: FetchAdvice { host, reference: reference.to_owned(), bytes, why },
        }));
    }
}
