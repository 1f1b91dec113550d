//! What was found out about hosts' room, remembered: most hosts are looked at many times before they change.

use std::hash::BuildHasher;

use gantry_fleet::Lookup;

use super::{Bin, Demand, Fit, Mix, stranded::Futures};

/// Hosts that are remembered; at most about 200 MB with the most demands.
const REMEMBERED: usize = 200_000;
/// Ways to put a demand on a host that are remembered.
const FITS: usize = 1_000_000;

/// Where the worth of a bin is kept.
pub(super) type Place = u32;

/// What one host's room comes to.
#[derive(Clone, Debug)]
struct Worth {
    bin: Bin,
    /// Thousandths of a GPU that are expected to be stranded, once somebody asked.
    stranded_milli: Option<i64>,
    /// By demand: how many fit.
    capacities: Box<[u16]>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// By the hash of the bin; of two bins with one hash the later one counts.
    places: Lookup<u64, Place>,
    worths: Vec<Worth>,
    /// By the hash of the place and the demand, which is kept to be compared.
    fits: Lookup<u64, (Place, Demand, Option<Fit>)>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Known {
    /// Forgets everything where there is no room for `more`: what was looked up before is gone then.
    pub(super) fn make_room(&mut self, more: usize) {
        if self.worths.len() + more > REMEMBERED {
            self.places.clear();
            self.worths.clear();
            self.fits.clear();
        }
    }

    /// Good until [`Known::make_room`] or the next look at a bin with the same hash.
    pub(super) fn place(&mut self, mix: &Mix, bin: &Bin) -> Place {
        let hash = self.hasher.hash_one(bin);
        if let Some(&place) = self.places.get(&hash)
            && self.worths[place as usize].bin == *bin
        {
            return place;
        }
        self.worths.push(Worth { bin: bin.clone(), stranded_milli: None, capacities: mix.capacities(bin) });
        let place = (self.worths.len() - 1) as Place;
        self.places.insert(hash, place);
        place
    }

    pub(super) fn capacities(&self, place: Place) -> &[u16] {
        &self.worths[place as usize].capacities
    }

    pub(super) fn stranded_milli(&mut self, futures: &Futures, place: Place) -> i64 {
        let Worth { bin, stranded_milli, .. } = &mut self.worths[place as usize];
        *stranded_milli.get_or_insert_with(|| futures.stranded_milli(bin))
    }

    /// How a demand is put on the host with this room, as it was found before.
    pub(super) fn fit(&self, place: Place, demand: &Demand) -> Option<Option<Fit>> {
        let (its_place, its_demand, fit) = self.fits.get(&self.hasher.hash_one((place, demand)))?;
        (*its_place == place && its_demand == demand).then_some(*fit)
    }

    pub(super) fn remember_fit(&mut self, place: Place, demand: &Demand, fit: Option<Fit>) {
        if self.fits.len() >= FITS {
            self.fits.clear();
        }
        let hash = self.hasher.hash_one((place, demand));
        self.fits.insert(hash, (place, demand.clone(), fit));
    }

    /// Prices have changed.
    pub(super) fn forget_fits(&mut self) {
        self.fits.clear();
    }
}
