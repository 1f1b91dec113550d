//! The rankings that a planner keeps, a bounded number of them.

use std::{collections::BTreeMap, hash::BuildHasher};

use gantry_types::PlaceRequest;

use crate::ranking::{Ranking, RankingKey, shared};

/// Hosts in all rankings together, at most 130 bytes each. Over it the ranking used longest ago is dropped.
const HOSTS: usize = 3_000_000;
/// Rankings, however small the fleet is.
const RANKINGS: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Rankings {
    /// By the hash of what their requests share.
    kept: BTreeMap<u64, Kept>,
    /// In all of them.
    hosts: usize,
    hosts_at_most: usize,
    clock: u64,
    hasher: hashbrown::DefaultHashBuilder,
}

#[derive(Debug)]
struct Kept {
    key: RankingKey,
    ranking: Ranking,
    used: u64,
}

impl Default for Rankings {
    fn default() -> Self {
        let hasher = hashbrown::DefaultHashBuilder::default();
        Self { kept: BTreeMap::new(), hosts: 0, hosts_at_most: HOSTS, clock: 0, hasher }
    }
}

impl Rankings {
    /// Where the ranking of such requests is kept.
    pub(crate) fn slot(&self, request: &PlaceRequest) -> u64 {
        self.hasher.hash_one(shared(request))
    }

    /// The ranking of such requests, to be put back with [`Rankings::put_back`].
    pub(crate) fn take(&mut self, slot: u64, request: &PlaceRequest) -> Ranking {
        let Some(kept) = self.kept.get_mut(&slot) else {
            self.kept.insert(slot, Kept { key: RankingKey::of(request), ranking: Ranking::default(), used: 0 });
            return Ranking::default();
        };
        let ranking = std::mem::take(&mut kept.ranking);
        self.hosts -= ranking.len();
        if kept.key.is_of(request) {
            return ranking;
        }
        kept.key = RankingKey::of(request);
        Ranking::default()
    }

    pub(crate) fn put_back(&mut self, slot: u64, ranking: Ranking) {
        self.clock += 1;
        self.hosts += ranking.len();
        if let Some(kept) = self.kept.get_mut(&slot) {
            (kept.ranking, kept.used) = (ranking, self.clock);
        }
        while self.kept.len() > RANKINGS || self.hosts > self.hosts_at_most && self.kept.len() > 1 {
            let Some((&oldest, _)) = self.kept.iter().min_by_key(|(_, kept)| kept.used) else { break };
            if let Some(kept) = self.kept.remove(&oldest) {
                self.hosts -= kept.ranking.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_fleet::{Fleet, Journal};
    use gantry_types::HostSpec;

    use super::*;
    use crate::Ask;

    /// Ranks a fleet for a request of an app.
    fn rank(rankings: &mut Rankings, fleet: &Fleet, app: usize) {
        let request = PlaceRequest { app: app.to_string(), count: 1, ..PlaceRequest::default() };
        let slot = rankings.slot(&request);
        let mut ranking = rankings.take(slot, &request);
        ranking.catch_up(fleet, &Ask::machine(fleet, &request), &Journal::default());
        rankings.put_back(slot, ranking);
        assert_eq!(rankings.hosts, rankings.kept.values().map(|kept| kept.ranking.len()).sum());
    }

    #[test]
    fn requests_that_are_all_different_keep_few_rankings() {
        let (mut rankings, fleet) = (Rankings::default(), Fleet::default());
        (0..2 * RANKINGS).for_each(|app| rank(&mut rankings, &fleet, app));
        assert_eq!(rankings.kept.len(), RANKINGS);
        assert!(rankings.kept.values().all(|kept| kept.used > RANKINGS as u64), "the oldest go first");
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
