//! What was found out about hosts' room, remembered: most hosts are looked at many times before they change.

use std::{collections::BTreeMap, hash::BuildHasher};

use super::{Bin, Mix, stranded::Futures};

/// Hosts that are remembered; at most about 200 MB with the most demands.
const REMEMBERED: usize = 200_000;

/// What one host's room comes to.
#[derive(Debug)]
pub(super) struct Worth {
    bin: Bin,
    /// Thousandths of a GPU that are expected to be stranded.
    pub(super) stranded_milli: i64,
    /// By demand: how many fit.
    pub(super) capacities: Box<[u16]>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the hash of the bin; of two bins with one hash the later one counts.
    places: BTreeMap<u64, usize>,
    worths: Vec<Worth>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Known {
    /// Forgets everything where there is no room for `more`: what was looked up before is gone then.
    pub(super) fn make_room(&mut self, more: usize) {
        if self.worths.len() + more > REMEMBERED {
            self.places.clear();
            self.worths.clear();
        }
    }

    /// Where the worth of a bin is kept. Good until [`Known::make_room`] or the next look at a bin with the same hash.
    pub(super) fn place(&mut self, mix: &Mix, futures: &Futures, bin: &Bin) -> usize {
        let hash = self.hasher.hash_one(bin);
        if let Some(&place) = self.places.get(&hash)
            && self.worths[place].bin == *bin
        {
            return place;
        }
        let capacities = mix.demands().iter().map(|(demand, _)| bin.capacity(demand).min(u16::MAX.into()) as u16);
        self.worths.push(Worth {
            bin: bin.clone(),
            stranded_milli: futures.stranded_milli(mix, bin),
            capacities: capacities.collect(),
        });
        self.places.insert(hash, self.worths.len() - 1);
        self.worths.len() - 1
    }

    pub(super) fn worth(&self, place: usize) -> &Worth {
        &self.worths[place]
    }
}
