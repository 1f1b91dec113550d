//! The rankings that a planner keeps, a bounded number of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::BuildHasher,
    ops::RangeInclusive,
};

use gantry_fleet::Journal;
use gantry_types::PlaceRequest;

use crate::ranking::{Ranking, RankingKey, shared};

/// Hosts in all rankings together, at most 130 bytes each. Over it the ranking used longest ago is dropped.
const HOSTS: usize = 3_000_000;
/// Kinds of requests that are remembered, with or without a ranking, however small the fleet is.
const KINDS: usize = 1_024;
/// A ranking pays where a kind comes again before one in so many hosts was touched: otherwise following what happened in
/// between costs more than searching.
const HOSTS_PER_REQUEST: u64 = 256;
/// The same for a small fleet and for a large one, in requests: there is no memory for many rankings of a large fleet, and
/// one that is dropped before it paid was in vain.
const SOON: RangeInclusive<u64> = 8..=64;
/// A kind gets a ranking once it came so soon again so many times in a row.
const IN_A_ROW: u32 = 8;
/// Machines from which on a request gets a ranking at once.
const BURST: u32 = 8;

#[derive(Clone, Debug)]
pub(crate) struct Rankings {
    /// By the hash of what their requests share.
    kept: BTreeMap<u64, Kept>,
    /// When each was used, oldest first.
    order: BTreeSet<(u64, u64)>,
    /// In all of them.
    hosts: usize,
    hosts_at_most: usize,
    clock: u64,
    /// Of a ranking that was dropped: its memory.
    spare: Option<Ranking>,
    hasher: hashbrown::DefaultHashBuilder,
}

#[derive(Clone, Debug)]
struct Kept {
    key: RankingKey,
    /// None while the kind comes too seldom.
    ranking: Option<Ranking>,
    used: u64,
    /// How often in a row it came soon again.
    soon: u32,
}

impl Default for Rankings {
    fn default() -> Self {
        let hasher = hashbrown::DefaultHashBuilder::default();
        let (kept, order) = (BTreeMap::new(), BTreeSet::new());
        Self { kept, order, hosts: 0, hosts_at_most: HOSTS, clock: 0, spare: None, hasher }
    }
}

impl Rankings {
    /// Where the ranking of such requests is kept.
    pub(crate) fn slot(&self, request: &PlaceRequest) -> u64 {
        self.hasher.hash_one(shared(request))
    }

    /// The ranking of such requests, to be put back with [`Rankings::put_back`]; nothing where searching costs less than
    /// bringing one up to date.
    pub(crate) fn take(
        &mut self,
        slot: u64,
        request: &PlaceRequest,
        hosts: usize,
        journal: &Journal,
    ) -> Option<Ranking> {
        self.clock += 1;
        let clock = self.clock;
        let kept = self.kept.entry(slot).or_insert_with(|| Kept {
            key: RankingKey::of(request),
            ranking: None,
            used: 0,
            soon: 0,
        });
        let gap = clock - kept.used;
        self.order.remove(&(kept.used, slot));
        self.order.insert((clock, slot));
        let known = kept.used > 0 && kept.key.is_of(request);
        if kept.used > 0 && !known {
            kept.key = RankingKey::of(request);
            self.hosts -= kept.ranking.as_ref().map_or(0, Ranking::len);
            self.spare = kept.ranking.take().map(Ranking::forget).or(self.spare.take());
        }
        kept.used = clock;
        let is_soon = known && gap <= (hosts as u64 / HOSTS_PER_REQUEST).clamp(*SOON.start(), *SOON.end());
        kept.soon = if is_soon { kept.soon + 1 } else { 0 };
        let near = |ranking: &Ranking| ranking.behind(journal).is_some_and(|behind| behind <= hosts / 8 + 64);
        let follows = kept.ranking.as_ref().is_some_and(near);
        if follows || kept.soon >= IN_A_ROW || request.count >= BURST {
            let ranking = kept.ranking.take();
            self.hosts -= ranking.as_ref().map_or(0, Ranking::len);
            return Some(ranking.or_else(|| self.spare.take()).unwrap_or_default());
        }
        self.drop_oldest();
        None
    }

    pub(crate) fn put_back(&mut self, slot: u64, ranking: Ranking) {
        self.hosts += ranking.len();
        if let Some(kept) = self.kept.get_mut(&slot) {
            kept.ranking = Some(ranking);
        }
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while self.kept.len() > KINDS || self.hosts > self.hosts_at_most && self.kept.len() > 1 {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(ranking) = self.kept.remove(&oldest).and_then(|kept| kept.ranking) {
                self.hosts -= ranking.len();
                self.spare = Some(ranking.forget());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_fleet::Fleet;
    use gantry_types::HostSpec;

    use super::*;
    use crate::{Ask, InFlight, Sight};

    /// Ranks a fleet for a request of an app.
    fn rank(rankings: &mut Rankings, fleet: &Fleet, app: usize) {
        let request = PlaceRequest { app: app.to_string(), count: BURST, ..PlaceRequest::default() };
        let (slot, journal) = (rankings.slot(&request), Journal::default());
        let mut ranking = rankings.take(slot, &request, fleet.host_count(), &journal).unwrap();
        let sight = Sight::of(fleet, &InFlight::default());
        ranking.catch_up(fleet, &sight, &sight.asked(fleet, Ask::machine(fleet, &request)), &journal);
        rankings.put_back(slot, ranking);
        assert_eq!(rankings.hosts, lens(rankings));
    }

    fn lens(rankings: &Rankings) -> usize {
        rankings.kept.values().filter_map(|kept| kept.ranking.as_ref()).map(Ranking::len).sum()
    }

    #[test]
    fn a_kind_gets_a_ranking_once_it_comes_often() {
        let (mut rankings, journal) = (Rankings::default(), Journal::default());
        let request = |app: usize| PlaceRequest { app: app.to_string(), count: 1, ..PlaceRequest::default() };
        let mut take = |app| {
            let slot = rankings.slot(&request(app));
            let ranking = rankings.take(slot, &request(app), 100, &journal);
            ranking.map(|ranking| rankings.put_back(slot, ranking)).is_some()
        };
        assert_eq!((0..IN_A_ROW).filter(|_| take(0)).count(), 0);
        assert!(take(0) && take(0));
        (1..=*SOON.start() as usize).for_each(|app| assert!(!take(app), "the first of its kind"));
        assert!(!take(0), "it comes no longer often");
    }

    #[test]
    fn requests_that_are_all_different_keep_few_rankings() {
        let (mut rankings, fleet) = (Rankings::default(), Fleet::default());
        (0..2 * KINDS).for_each(|app| rank(&mut rankings, &fleet, app));
        assert_eq!(rankings.kept.len(), KINDS);
        assert!(rankings.kept.values().all(|kept| kept.used > KINDS as u64), "the oldest go first");
    }

    #[test]
    fn rankings_of_a_large_fleet_are_fewer() {
        let mut fleet = Fleet::default();
        for n in 0..9 {
            let spec =
                HostSpec { name: format!("h{n}"), region: "region".into(), zone: "zone".into(), ..HostSpec::default() };
            fleet.register_host(spec).unwrap();
        }
        // Hosts are counted by their numbers, of which the first is 1.
        let mut rankings = Rankings { hosts_at_most: 35, ..Rankings::default() };
        (0..3).for_each(|app| rank(&mut rankings, &fleet, app));
        assert_eq!((rankings.kept.len(), rankings.hosts), (3, 30));
        rank(&mut rankings, &fleet, 0);
        rank(&mut rankings, &fleet, 3);
        let mut used: Vec<u64> = rankings.kept.values().map(|kept| kept.used).collect();
        used.sort_unstable();
        assert_eq!(used, [3, 4, 5], "the one used longest ago goes");
        // One ranking is kept however large it is.
        let mut rankings = Rankings { hosts_at_most: 5, ..Rankings::default() };
        (0..3).for_each(|app| rank(&mut rankings, &fleet, app));
        assert_eq!((rankings.kept.len(), rankings.hosts), (1, 10));
    }
}
