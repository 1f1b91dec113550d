//! What is known of one image, and where a copy of it is worth most.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gantry_fleet::{Fleet, Host, ImageEntry, ImageLayer};
use gantry_types::{Constraints, HostId, PlaceRequest, Reservation, Stamp};

use super::Why;
use crate::{Ask, InFlight, Room, constraint::first_refusal, sight::more};

/// Machines that come within so long of each other are one burst.
const BURST_MS: u64 = 2_000;
/// How long room stays what it is: about as long as what stands.
const STAYS_MS: u64 = 20_000_000;
/// The mean of a burst's size goes by so many of the last ones.
const BURSTS: u64 = 3;
/// Regions in which machines of an image are remembered.
const REGIONS: usize = 16;
const MILLI: u64 = 1_000;
const UNIT: u128 = 1_000_000;

#[derive(Debug)]
pub(super) struct Name {
    layers: Arc<[ImageLayer]>,
    since: Stamp,
    moves: u64,
    bursts: u64,
    /// The mean size of a burst, in thousandths of a machine; 0 before the first one is over.
    machines_milli: u64,
    /// Of the burst that came last: when, its machines so far, and the hosts that got them.
    last: Stamp,
    coming: u64,
    hosts: BTreeSet<HostId>,
    /// The machine that came last.
    like: Option<Reservation>,
    /// Where machines of it went; empty where that is anywhere.
    regions: BTreeSet<String>,
}

/// What is to be found out, and of what.
pub(super) struct Question<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) image: &'a ImageEntry,
    /// A machine that is likely to come.
    pub(super) like: &'a Reservation,
    pub(super) rates: Rates,
    /// Machines of a burst of which nothing is known.
    pub(super) usual_burst: u64,
    /// Hosts that are not to be asked.
    pub(super) busy: &'a BTreeSet<HostId>,
    /// Hosts to find.
    pub(super) at_most: usize,
}

/// Of the mean image: time between bursts, and until the tag moves.
pub(super) struct Rates {
    pub(super) gap_ms: u64,
    pub(super) life_ms: u64,
    pub(super) now: Stamp,
}

/// What a copy is worth, on which host, what the host lacks, and why.
pub(super) type Found = (u128, HostId, u64, Why);

/// A host that could have a copy.
struct Chance {
    host: HostId,
    missing_bytes: u64,
    /// Machines for which there is likely to be room, in thousandths.
    room_milli: u64,
}

impl Name {
    pub(super) fn new(now: Stamp, image: &ImageEntry) -> Self {
        Self {
            layers: Arc::clone(&image.layers),
            since: now,
            moves: 0,
            bursts: 0,
            machines_milli: 0,
            last: 0,
            coming: 0,
            hosts: BTreeSet::new(),
            like: None,
            regions: BTreeSet::new(),
        }
    }

    /// Returns whether it stands for something else now.
    pub(super) fn moved(&mut self, image: &ImageEntry) -> bool {
        let is_other = *self.layers != *image.layers;
        self.layers = Arc::clone(&image.layers);
        self.moves += u64::from(is_other);
        is_other
    }

    /// Counts a machine. Returns whether a burst begins with it.
    pub(super) fn machine(&mut self, row: &Reservation, region: &str) -> bool {
        if (self.bursts == 0 || !self.regions.is_empty()) && !self.regions.contains(region) {
            self.regions.insert(region.to_owned());
            if self.regions.len() > REGIONS {
                self.regions.clear();
            }
        }
        let is_new = self.bursts == 0 || row.created_at.saturating_sub(self.last) > BURST_MS;
        if is_new {
            if self.bursts > 0 {
                let size = self.coming * MILLI;
                let before = if self.machines_milli == 0 { size } else { self.machines_milli };
                self.machines_milli = (before * (BURSTS - 1) + size) / BURSTS;
            }
            self.bursts += 1;
            (self.coming, self.hosts) = (0, BTreeSet::new());
        }
        self.coming += 1;
        self.last = row.created_at;
        self.like = Some(row.clone());
        is_new
    }

    /// Whether no machine of the burst that came last is on the host yet. Asked once a machine.
    pub(super) fn is_first_on(&mut self, host: HostId) -> bool {
        self.hosts.insert(host)
    }

    pub(super) fn like(&self) -> Option<&Reservation> {
        self.like.as_ref()
    }

    /// Where copies are worth most.
    pub(super) fn look(&self, question: &Question<'_>) -> Vec<Found> {
        let Question { fleet, image, rates, .. } = question;
        let burst_milli = match (self.machines_milli, self.coming) {
            (0, 0) => question.usual_burst * MILLI,
            (0, coming) => coming * MILLI,
            (mean, coming) => mean.max(coming * MILLI),
        };
        let sure = self.sure(rates);
        let hosts = self.rooms(question);
        let mean_milli = hosts.iter().map(|(_, room)| room * MILLI).sum::<u64>() / hosts.len().max(1) as u64;
        let present = present(fleet, image);
        let (mut warm_milli, mut least, mut chances) = (0, u64::MAX, Vec::new());
        for (host, room) in hosts {
            let likely = (u128::from(room * MILLI) * sure + u128::from(mean_milli) * (UNIT - sure)) / UNIT;
            let room_milli = likely as u64;
            let missing_bytes = image.size_bytes - present.get(&host).copied().unwrap_or(0);
            if missing_bytes == 0 {
                warm_milli += room_milli;
            } else if room > 0 {
                least = least.min(missing_bytes);
                if !question.busy.contains(&host) {
                    chances.push(Chance { host, missing_bytes, room_milli });
                }
            }
        }
        let chance = self.chance(rates);
        let why = Why {
            chance_percent: (chance * 100 / UNIT) as u32,
            burst: burst_milli.div_ceil(MILLI),
            room: warm_milli / MILLI,
        };
        let mut found = Vec::new();
        while found.len() < question.at_most && warm_milli < burst_milli {
            let wanted = burst_milli - warm_milli;
            let ratio = |one: &Chance| {
                u128::from(one.room_milli.min(wanted)) * u128::from(least) * UNIT / u128::from(one.missing_bytes)
            };
            let best = (0..chances.len()).max_by_key(|&at| (ratio(&chances[at]), std::cmp::Reverse(chances[at].host)));
            let Some(best) = best.map(|at| chances.swap_remove(at)) else { break };
            warm_milli += best.room_milli.max(1);
            found.push((ratio(&best) * chance / UNIT, best.host, best.missing_bytes, why));
        }
        found
    }

    /// Hosts, and for how many such machines each has room now.
    fn rooms(&self, question: &Question<'_>) -> Vec<(HostId, u64)> {
        let Question { fleet, image, like, .. } = question;
        let regions = self.regions.iter().cloned().collect();
        let request = PlaceRequest {
            app: like.app.clone(),
            image: image.image.reference.clone(),
            shape: like.shape.clone(),
            constraints: Constraints { regions, ..Constraints::default() },
            count: 1,
            ..PlaceRequest::default()
        };
        let (ask, nothing) = (Ask::machine(fleet, &request), InFlight::default());
        let app_number = fleet.app_number(ask.app);
        let room = |host: &Host| {
            nothing.with_room(fleet, host, &ask, app_number, |room: &Room<'_>| match first_refusal(&ask, room) {
                None => 1 + more(&request.shape, room),
                Some(_) => 0,
            })
        };
        fleet.hosts().map(|host| (host.id, room(host))).collect()
    }

    /// That a burst comes before the tag moves, in parts of [`UNIT`].
    fn chance(&self, rates: &Rates) -> u128 {
        let (gap, life) = (self.gap_ms(rates), self.life_ms(rates));
        life * UNIT / (gap + life).max(1)
    }

    /// How much of what is free now tells what will be free when a burst comes, in parts of [`UNIT`].
    fn sure(&self, rates: &Rates) -> u128 {
        u128::from(STAYS_MS) * UNIT / (u128::from(STAYS_MS) + self.gap_ms(rates))
    }

    /// The expected time until a burst.
    fn gap_ms(&self, rates: &Rates) -> u128 {
        mean_ms(self.bursts, rates.now.saturating_sub(self.since), rates.gap_ms)
    }

    /// The expected time until the tag moves.
    fn life_ms(&self, rates: &Rates) -> u128 {
        mean_ms(self.moves, rates.now.saturating_sub(self.since), rates.life_ms)
    }
}

/// The time between two events, of which there were so many in that time, and of which the mean image sees one a `usual_ms`.
fn mean_ms(events: u64, in_ms: u64, usual_ms: u64) -> u128 {
    (2 * u128::from(in_ms) + u128::from(usual_ms)) / (2 * u128::from(events) + 1)
}

/// Bytes of the image by host; hosts that have none of it are left out. What is on its way counts.
fn present(fleet: &Fleet, image: &ImageEntry) -> BTreeMap<HostId, u64> {
    let mut present = BTreeMap::new();
    for layer in image.layers.iter() {
        fleet.hosts_with(layer.layer).for_each(|host| *present.entry(host).or_default() += layer.size_bytes);
    }
    present
}
