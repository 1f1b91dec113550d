//! The value itself, its counters, and plain reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use gantry_types::{AppPolicy, HostId, Refused, RegionAlias, Reservation, ReservationId, Rev, Stamp, Volume, VolumeId};

use crate::{
    Bounds, Change, Event, EventKind, Host, HostRow, ImageEntry, Journal, Touched, host_table::HostTable,
    image_use::ImagesInUse, layers::LayerTable, lookup::Lookup, names::Names, offers::Offers,
    request_memory::RequestMemory, volume_names::VolumeNames, zones::Zones,
};

/// The newest behaviour this code knows. A command that needs more than the replicated level is refused.
pub const FEATURE_LEVEL_MAX: u32 = 2;

/// Everything that is replicated, with every index over it.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub(crate) bounds: Bounds,
    pub(crate) meta: Meta,
    pub(crate) hosts: HostTable,
    pub(crate) host_by_name: Lookup<Arc<str>, HostId>,
    /// Removed hosts, kept while an answer may still name them.
    pub(crate) removed_hosts: BTreeMap<HostId, HostRow>,
    pub(crate) images: BTreeMap<String, ImageEntry>,
    pub(crate) layers: LayerTable,
    pub(crate) reservations: BTreeMap<ReservationId, Arc<Reservation>>,
    pub(crate) leases: BTreeSet<(Stamp, ReservationId)>,
    pub(crate) volumes: BTreeMap<VolumeId, Arc<Volume>>,
    pub(crate) volume_names: VolumeNames,
    pub(crate) hold_ends: BTreeSet<(Stamp, VolumeId)>,
    pub(crate) requests: RequestMemory,
    pub(crate) region_aliases: BTreeMap<String, Arc<RegionAlias>>,
    pub(crate) policies: BTreeMap<String, Arc<AppPolicy>>,
    /// Of those that have machines.
    pub(crate) apps: Names,
    /// Of those that have machines.
    pub(crate) groups: Names,
    pub(crate) zones: Zones,
    pub(crate) image_use: ImagesInUse,
    pub(crate) offers: Offers,
    pub(crate) changes: Vec<Change>,
    pub(crate) events: Vec<Event>,
    pub(crate) journal: Journal,
}

/// The counters of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) feature_level: u32,
    /// The largest stamp applied so far; time never goes back in the state.
    pub(crate) now: Stamp,
    pub(crate) rev: Rev,
    pub(crate) next_host: HostId,
    pub(crate) next_grant: ReservationId,
    pub(crate) next_volume: VolumeId,
}

impl Default for Meta {
    fn default() -> Self {
        Self { feature_level: 1, now: 0, rev: 0, next_host: 1, next_grant: 1, next_volume: 1 }
    }
}

impl Fleet {
    /// Begins a log entry: sets the position and moves time forward, never back.
    pub fn begin(&mut self, rev: Rev, stamp: Stamp) {
        self.meta.rev = rev;
        self.meta.now = self.meta.now.max(stamp);
        self.changes.push(Change::Meta);
    }

    /// The last log entry applied.
    pub fn rev(&self) -> Rev {
        self.meta.rev
    }

    /// Stamped time.
    pub fn now(&self) -> Stamp {
        self.meta.now
    }

    pub fn feature_level(&self) -> u32 {
        self.meta.feature_level
    }

    /// Refuses what needs a higher feature level than the cluster has. Asked before a command is proposed, and when it is
    /// applied.
    pub fn has_level(&self, want: u32) -> Result<(), Refused> {
        let have = self.meta.feature_level;
        if want > have { Err(Refused::FeatureLevel { want, have }) } else { Ok(()) }
    }

    /// Switches behaviour on, once every member has it. Never back.
    ///
    /// # Panics
    ///
    /// On a level that this code does not know. Another binary may know it, so a refusal would let replicas differ.
    pub fn set_feature_level(&mut self, level: u32) -> Result<(), Refused> {
        if level < self.meta.feature_level {
            return Err(Refused::FeatureLevel { want: level, have: self.meta.feature_level });
        }
        assert!(level <= FEATURE_LEVEL_MAX, "feature level {level} is not known to this binary: upgrade it");
        if level != self.meta.feature_level {
            self.meta.feature_level = level;
            self.happened(EventKind::FeatureLevel(level));
        }
        Ok(())
    }

    /// The rows touched since the last call; may repeat.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// What happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Which hosts changed lately.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id)
    }

    pub fn host_named(&self, name: &str) -> Option<&Host> {
        self.host_by_name.get(name).and_then(|&id| self.hosts.get(id))
    }

    /// Hosts by number.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter()
    }

    /// In order.
    pub fn host_ids(&self) -> impl Iterator<Item = HostId> {
        self.hosts.ids()
    }

    pub fn hosts_after(&self, id: HostId) -> impl Iterator<Item = &Host> {
        self.hosts.after(id)
    }

    pub fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// One above the largest host number ever given.
    pub fn host_numbers_end(&self) -> HostId {
        self.meta.next_host
    }

    /// The declaration of a host, also of one removed so recently that an answer may still name it.
    pub fn host_spec(&self, id: HostId) -> Option<&gantry_types::HostSpec> {
        let live = self.hosts.get(id).map(|host| &*host.spec);
        live.or_else(|| self.removed_hosts.get(&id).map(|row| &row.spec))
    }

    pub fn reservation(&self, id: ReservationId) -> Option<&Arc<Reservation>> {
        self.reservations.get(&id)
    }

    /// Reservations by number, after the given one.
    pub fn reservations_after(&self, id: ReservationId) -> impl Iterator<Item = &Arc<Reservation>> {
        self.reservations.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, row)| row)
    }

    pub fn reservation_count(&self) -> usize {
        self.reservations.len()
    }

    pub fn volume(&self, id: VolumeId) -> Option<&Arc<Volume>> {
        self.volumes.get(&id)
    }

    /// Volumes by number, after the given one.
    pub fn volumes_after(&self, id: VolumeId) -> impl Iterator<Item = &Arc<Volume>> {
        self.volumes.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, row)| row)
    }

    pub fn volume_count(&self) -> usize {
        self.volumes.len()
    }

    /// The number under which hosts count an app's machines, while it has any.
    pub fn app_number(&self, app: &str) -> Option<u32> {
        self.apps.find(app)
    }

    /// When the next lease runs out, of a reservation or of a hold.
    pub fn next_lease_end(&self) -> Option<Stamp> {
        let reservation = self.leases.first().map(|&(at, _)| at);
        reservation.into_iter().chain(self.next_hold_end()).min()
    }

    pub(crate) fn known_host(&self, id: HostId) -> Result<&Host, Refused> {
        self.hosts.get(id).ok_or_else(|| Refused::UnknownHost { host: id.to_string() })
    }

    pub(crate) fn host_ref(&self, id: HostId) -> &Host {
        self.hosts.get(id).expect("callers look the host up first, and nothing removes it in between")
    }

    pub(crate) fn host_mut(&mut self, id: HostId) -> &mut Host {
        self.hosts.get_mut(id).expect("callers look the host up first, and nothing removes it in between")
    }

    pub(crate) fn happened(&mut self, kind: EventKind) {
        self.events.push(Event { rev: self.meta.rev, stamp: self.meta.now, kind });
    }

    pub(crate) fn room_changed(&mut self, host: HostId) {
        self.journal.push(Touched { host, layers: false });
    }
}
