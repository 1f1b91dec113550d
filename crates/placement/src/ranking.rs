//! The hosts in order for one kind of request, kept up to date from a journal of touched hosts.
//!
//! Of each host, one entry counts: among those that are known its score or, where the host was touched since it was looked
//! at, among the likely ones the best score that it could have given its layers. Such a host is looked at once it might be
//! the first. So a touched host costs a few nanoseconds in most rankings, and a scoring only in those where it is near the
//! top. In a large fleet, where the best score is an estimate, only a few of them are looked at for each machine.

mod zones;

use std::{collections::BinaryHeap, hash::Hash, sync::Arc};

use gantry_fleet::{Fleet, ImageEntry, ImageLayer, Journal};
use gantry_types::{HostId, PlaceRequest, Stamp};

use crate::{InFlight, Ranked, Score, Sight, present_bytes, search::LOOKS, sight::Asked};
use zones::ZoneAnswers;

/// Hosts that are looked at for each further machine, where outlines are estimates.
const LOOKS_FURTHER: usize = 1;
/// Entries a host beyond which those out of date are swept out of the heap.
const ENTRIES_PER_HOST: usize = 2;
/// The same for a small fleet, where sweeping would be frequent.
const ENTRIES_AT_LEAST: usize = 64;

/// A request of those that share a ranking.
#[derive(Clone, Debug)]
pub(crate) struct RankingKey(PlaceRequest);

impl RankingKey {
    pub(crate) fn of(request: &PlaceRequest) -> Self {
        Self(request.clone())
    }

    pub(crate) fn is_of(&self, request: &PlaceRequest) -> bool {
        shared(&self.0) == shared(request)
    }
}

/// What requests must share to share a ranking: everything that constraints and terms look at. Names every field, so
/// that a new one is not forgotten.
pub(crate) fn shared(request: &PlaceRequest) -> impl Hash + PartialEq {
    let PlaceRequest {
        request_id: _,
        app,
        image,
        shape,
        constraints,
        count: _,
        all_or_nothing: _,
        lease_ms: _,
        image_blind,
    } = request;
    (app, image, shape, constraints, image_blind)
}

/// What a ranking knows of a host.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    present_bytes: u64,
    /// Of the host's entry in the heap that counts, if it has one.
    version: u32,
}

/// By score first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    score: Score,
    version: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ranking {
    /// By host number.
    cells: Vec<Cell>,
    known: BinaryHeap<Entry>,
    likely: BinaryHeap<Entry>,
    /// Whether hosts were looked at since it was built.
    is_begun: bool,
    /// Out of date and without an entry that counts.
    touched: Vec<HostId>,
    /// By host number: whether it is among those.
    noted: Bits,
    /// Up to where the journal has been followed; nothing before the first look.
    position: Option<u64>,
    zones: ZoneAnswers,
    /// The image as it was when the layers were looked at.
    image: Option<Arc<[ImageLayer]>>,
    /// As of when, and under which generation, hosts were scored.
    now_ms: Stamp,
    generation: u64,
    /// Hosts whose scores change by themselves, as what they fetch arrives, or is not believed in any more.
    pulling: Vec<HostId>,
}

impl Ranking {
    /// How many touched hosts are to be noted; nothing where following is not possible.
    pub(crate) fn behind(&self, journal: &Journal) -> Option<usize> {
        Some(journal.since(self.position?)?.len())
    }

    /// Forgets what it is of and keeps its memory, which costs more to get than to fill.
    pub(crate) fn forget(mut self) -> Self {
        self.position = None;
        self
    }

    /// Memory, in hosts.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Takes note of the hosts touched up to the journal's end. `sight` has followed it.
    pub(crate) fn catch_up(&mut self, fleet: &Fleet, sight: &Sight, asked: &Asked<'_>, journal: &Journal) {
        let image = asked.ask.image;
        let is_same = same_image(self.image.as_ref(), image) && self.generation == sight.generation();
        let touched = self.position.filter(|_| is_same).and_then(|position| journal.since(position));
        // Following a long journal costs more than starting over.
        match touched.filter(|entries| entries.len() < fleet.host_count().max(ENTRIES_AT_LEAST)) {
            Some(entries) => entries.for_each(|touched| self.touch(fleet, image, touched.host, touched.layers)),
            None => self.build(fleet, sight, image),
        }
        if self.now_ms != sight.now_ms() {
            self.now_ms = sight.now_ms();
            let mut pulling = std::mem::take(&mut self.pulling);
            pulling.drain(..).for_each(|id| self.touch(fleet, image, id, false));
            self.pulling = pulling;
        }
        let Self { cells, known, likely, .. } = self;
        for heap in [known, likely] {
            if heap.len() > ENTRIES_PER_HOST * fleet.host_count() + ENTRIES_AT_LEAST {
                heap.retain(|entry| entry.counts(cells));
            }
        }
        self.position = Some(journal.end());
    }

    fn build(&mut self, fleet: &Fleet, sight: &Sight, image: Option<&ImageEntry>) {
        self.cells.clear();
        self.cells.resize(fleet.host_numbers_end() as usize, Cell::default());
        self.known.clear();
        self.likely.clear();
        self.is_begun = false;
        self.zones.clear();
        self.pulling.clear();
        self.generation = sight.generation();
        self.touched.clear();
        self.noted = Bits::default();
        for id in fleet.host_ids() {
            self.touched.push(id);
            self.noted.replace(id as usize, true);
        }
        for layer in image.into_iter().flat_map(|image| image.layers.iter()) {
            // Walks the layers' hosts instead of the hosts' layers: only hosts that have something are visited.
            fleet.hosts_with(layer.layer).for_each(|host| self.cells[host as usize].present_bytes += layer.size_bytes);
        }
        self.image = image.map(|image| Arc::clone(&image.layers));
    }

    /// Notes that what is known of a host is out of date.
    fn touch(&mut self, fleet: &Fleet, image: Option<&ImageEntry>, id: HostId, layers: bool) {
        let at = id as usize;
        if self.noted.replace(at, true) && !layers {
            return;
        }
        if self.cells.len() <= at {
            self.cells.resize(at + 1, Cell::default());
        }
        let cell = &mut self.cells[at];
        cell.version = cell.version.wrapping_add(1);
        if layers {
            cell.present_bytes = fleet.host(id).map_or(0, |host| present_bytes(image, host));
        }
        self.touched.push(id);
    }

    /// The best host. Only right after [`Ranking::catch_up`].
    pub(crate) fn best(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        sight: &mut Sight,
        asked: &mut Asked<'_>,
    ) -> Option<Ranked> {
        for &id in self.zones.changed(fleet, in_flight, &asked.ask).into_iter().flatten() {
            self.touch(fleet, asked.ask.image, id, false);
        }
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            // It may be among them twice.
            if !self.noted.replace(id as usize, false) {
                continue;
            }
            let Cell { present_bytes, version } = self.cells[id as usize];
            // Without an entry it is known to be no choice.
            if let Some(score) = sight.bound(fleet, asked, id, present_bytes) {
                self.likely.push(Entry { score, version });
            }
        }
        self.touched = touched;
        let looks = if self.is_begun { LOOKS_FURTHER } else { LOOKS };
        let looks = if asked.is_exact() { usize::MAX } else { looks };
        self.is_begun = true;
        let mut found: Option<Ranked> = None;
        for looked in 0.. {
            let (known, likely) = (top(&mut self.known, &self.cells), top(&mut self.likely, &self.cells));
            match likely {
                Some(likely)
                    if known.is_none() || looked < looks && Some(likely.score) > known.map(|top| top.score) =>
                {
                    self.likely.pop();
                    found = found.max(self.look(fleet, in_flight, sight, asked, likely.score.host.0));
                }
                _ => {
                    let score = known?.score;
                    // Where it was not looked at just now, what else there is to say of it was not kept.
                    let found = found.filter(|found| found.score == score);
                    return found.or_else(|| sight.look(fleet, in_flight, asked, fleet.host(score.host.0)?).ok());
                }
            }
        }
        None
    }

    /// Scores a host as it is now.
    fn look(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        sight: &mut Sight,
        asked: &Asked<'_>,
        id: HostId,
    ) -> Option<Ranked> {
        let cell = &mut self.cells[id as usize];
        cell.version = cell.version.wrapping_add(1);
        // A host that is gone is known to be no choice.
        let ranked = sight.look(fleet, in_flight, asked, fleet.host(id)?).ok()?;
        self.known.push(Entry { score: ranked.score, version: cell.version });
        if sight.is_pulling(id) {
            self.pulling.push(id);
        }
        Some(ranked)
    }
}

impl Entry {
    fn counts(&self, cells: &[Cell]) -> bool {
        cells[self.score.host.0 as usize].version == self.version
    }
}

/// The first entry that counts.
fn top(heap: &mut BinaryHeap<Entry>, cells: &[Cell]) -> Option<Entry> {
    loop {
        let top = *heap.peek()?;
        if top.counts(cells) {
            return Some(top);
        }
        heap.pop();
    }
}

/// One bit a number; those never set are not.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Returns what the bit was.
    fn replace(&mut self, at: usize, value: bool) -> bool {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        let (word, mask) = (&mut self.0[at / 64], 1 << (at % 64));
        let before = *word & mask != 0;
        *word = if value { *word | mask } else { *word & !mask };
        before
    }
}

/// Whether a reference stands for what it stood for. A kept list is never changed and its address not used again.
fn same_image(before: Option<&Arc<[ImageLayer]>>, now: Option<&ImageEntry>) -> bool {
    match (before, now) {
        (None, None) => true,
        (Some(before), Some(now)) => Arc::ptr_eq(before, &now.layers),
        _ => false,
    }
}
