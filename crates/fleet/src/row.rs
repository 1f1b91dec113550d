//! The state as rows: what the store writes, what a snapshot holds, what the state hash covers.

use std::sync::Arc;

use gantry_types::{
    AppPolicy, HostId, HostOverrides, HostSpec, Image, LayerId, LayerState, RegionAlias, Reservation, Rev, Stamp,
    Volume,
};
use prost::Message;

use crate::{
    Answer, Change, FEATURE_LEVEL_MAX, Fleet, HeldLayer, Host, MeasuredRates, PullRow, Scheduling, fleet::Meta,
};

/// One row of any family. Families are loaded in the order of the variants: each refers only to those above it.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    Meta(MetaRow),
    Layer(LayerRow),
    Image(Arc<Image>),
    Host(HostRow),
    Layers(LayersRow),
    Volume(Arc<Volume>),
    Reservation(Arc<Reservation>),
    Request(RequestRow),
    RegionAlias(Arc<RegionAlias>),
    Policy(Arc<AppPolicy>),
}

/// The counters of the state.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MetaRow {
    #[prost(uint32, tag = "1")]
    pub feature_level: u32,
    #[prost(uint64, tag = "2")]
    pub now: Stamp,
    #[prost(uint64, tag = "3")]
    pub rev: Rev,
    #[prost(uint32, tag = "4")]
    pub next_host: HostId,
    #[prost(uint64, tag = "5")]
    pub next_grant: u64,
    #[prost(uint64, tag = "6")]
    pub next_volume: u64,
    #[prost(uint64, tag = "7")]
    pub next_request: u64,
}

/// A numbered layer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LayerRow {
    #[prost(uint32, tag = "1")]
    pub layer: LayerId,
    #[prost(bytes = "vec", tag = "2")]
    pub digest: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub size_bytes: u64,
    /// Of its content, as the first agent that knew reported it; empty where none did.
    #[prost(bytes = "vec", tag = "4")]
    pub diff_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct HostRow {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    /// As the agent declared it; of a host that is gone, with what an operator had changed of it.
    #[prost(message, required, tag = "2")]
    pub spec: HostSpec,
    #[prost(enumeration = "Scheduling", tag = "3")]
    pub scheduling: i32,
    /// Set on a host that is gone and only kept because an answer may still name it.
    #[prost(uint64, optional, tag = "4")]
    pub removed_at: Option<Stamp>,
    /// What an operator changed of the declaration; absent where nothing is changed.
    #[prost(message, optional, tag = "5")]
    pub overrides: Option<HostOverrides>,
    /// Its agent has not been heard of for too long.
    #[prost(bool, tag = "6")]
    pub unreachable: bool,
    /// What was measured of its pulls; absent where nothing was.
    #[prost(message, optional, boxed, tag = "7")]
    pub measured: Option<Box<MeasuredRates>>,
}

/// The layers on a host: each `layer << 2 | state`, sorted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LayersRow {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    #[prost(uint64, repeated, tag = "2")]
    pub held: Vec<u64>,
    /// Of those being fetched, how far they are where that is known.
    #[prost(message, repeated, tag = "3")]
    pub pulls: Vec<PullRow>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct RequestRow {
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(fixed64, tag = "3")]
    pub fingerprint: u64,
    #[prost(uint64, tag = "4")]
    pub stamp: Stamp,
    #[prost(uint64, tag = "5")]
    pub rev: Rev,
    #[prost(oneof = "Answer", tags = "10, 11, 12, 13")]
    pub answer: Option<Answer>,
}

impl Fleet {
    /// The row that a change names, or nothing where it was deleted.
    pub fn row(&self, change: &Change) -> Option<Row> {
        match change {
            Change::Meta => Some(Row::Meta(self.meta_row())),
            Change::Layer(id) => self.layers.row(*id).map(Row::Layer),
            Change::Image(reference) => self.images.get(reference).map(|e| Row::Image(Arc::clone(&e.image))),
            Change::Host(id) => self.host_row(*id).map(Row::Host),
            Change::Layers(id) => self.hosts.get(*id).and_then(layers_row).map(Row::Layers),
            Change::Volume(id) => self.volumes.get(id).cloned().map(Row::Volume),
            Change::Reservation(id) => self.reservations.get(id).cloned().map(Row::Reservation),
            Change::Request(seq) => self.requests.row(*seq).cloned().map(Row::Request),
            Change::RegionAlias(name) => self.region_aliases.get(name).cloned().map(Row::RegionAlias),
            Change::Policy(app) => self.policies.get(app).cloned().map(Row::Policy),
        }
    }

    /// All rows: families in the order of [`Row`], keys in order inside each.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let hosts = merge(self.hosts.iter().map(|host| host.id), self.removed_hosts.keys().copied());
        std::iter::once(Row::Meta(self.meta_row()))
            .chain(self.layers.ids().filter_map(|id| self.layers.row(id)).map(Row::Layer))
            .chain(self.images.values().map(|entry| Row::Image(Arc::clone(&entry.image))))
            .chain(hosts.into_iter().filter_map(|id| self.host_row(id)).map(Row::Host))
            .chain(self.hosts.iter().filter_map(layers_row).map(Row::Layers))
            .chain(self.volumes.values().cloned().map(Row::Volume))
            .chain(self.reservations.values().cloned().map(Row::Reservation))
            .chain(self.requests.rows().cloned().map(Row::Request))
            .chain(self.region_aliases.values().cloned().map(Row::RegionAlias))
            .chain(self.policies.values().cloned().map(Row::Policy))
    }

    /// Puts a row back, in the order of [`Row`]. Adds no changes and no events.
    pub fn load(&mut self, row: Row) -> Result<(), String> {
        match row {
            Row::Meta(row) => self.load_meta(row)?,
            Row::Layer(row) => self.layers.load(&row)?,
            Row::Image(image) => self.load_image(Arc::unwrap_or_clone(image))?,
            Row::Host(row) => self.load_host(row)?,
            Row::Layers(row) => self.load_layers_row(&row)?,
            Row::Volume(volume) => {
                self.refers_to_host("volume", volume.id, volume.host)?;
                self.link_volume(&volume);
            }
            Row::Reservation(reservation) => {
                self.refers_to_host("reservation", reservation.id, reservation.plan.host)?;
                self.link(&reservation);
            }
            Row::Request(row) => self.load_request(row)?,
            Row::RegionAlias(alias) => self.load_region_alias(alias),
            Row::Policy(policy) => self.load_policy(policy),
        }
        self.changes.clear();
        self.events.clear();
        Ok(())
    }

    fn refers_to_host(&self, what: &str, id: u64, host: HostId) -> Result<(), String> {
        if self.hosts.get(host).is_some() {
            return Ok(());
        }
        Err(format!("{what} {id} is on host {host}, which is not there"))
    }

    fn meta_row(&self) -> MetaRow {
        let Meta { feature_level, now, rev, next_host, next_grant, next_volume } = self.meta;
        let next_request = self.requests.next();
        MetaRow { feature_level, now, rev, next_host, next_grant, next_volume, next_request }
    }

    fn load_meta(&mut self, row: MetaRow) -> Result<(), String> {
        let MetaRow { feature_level, now, rev, next_host, next_grant, next_volume, next_request } = row;
        if feature_level > FEATURE_LEVEL_MAX {
            return Err(format!(
                "the state is at feature level {feature_level}, this binary knows up to {FEATURE_LEVEL_MAX}: upgrade it"
            ));
        }
        self.meta = Meta { feature_level, now, rev, next_host, next_grant, next_volume };
        self.requests.restore_next(next_request);
        Ok(())
    }

    fn host_row(&self, id: HostId) -> Option<HostRow> {
        let live = self.hosts.get(id).map(|host| HostRow {
            host: id,
            spec: (*host.declared).clone(),
            scheduling: host.scheduling as i32,
            removed_at: None,
            overrides: host.overrides.as_deref().cloned(),
            unreachable: host.unreachable,
            measured: host.measured.clone(),
        });
        live.or_else(|| self.removed_hosts.get(&id).cloned())
    }

    fn load_host(&mut self, row: HostRow) -> Result<(), String> {
        let id = row.host;
        if row.removed_at.is_some() {
            self.removed_hosts.insert(id, row);
            return Ok(());
        }
        let scheduling = Scheduling::try_from(row.scheduling)
            .map_err(|_| format!("host {id} has scheduling {}, which is not known", row.scheduling))?;
        let mut host = Host::new(id, row.spec, row.overrides.unwrap_or_default());
        host.scheduling = scheduling;
        host.unreachable = row.unreachable;
        host.measured = row.measured;
        host.zone = self.zones.join(&host.spec, id);
        host.offer = self.offers.shared(&host.spec, self.hosts.len());
        self.host_by_name.insert(Arc::clone(&host.name), id);
        self.hosts.insert(host);
        Ok(())
    }

    fn load_layers_row(&mut self, row: &LayersRow) -> Result<(), String> {
        self.refers_to_host("the layer list", u64::from(row.host), row.host)?;
        let held: Result<Vec<HeldLayer>, String> = row.held.iter().map(|&packed| self.unpack_held(packed)).collect();
        self.load_layers(row.host, held?);
        self.load_pulls(row.host, &row.pulls)
    }

    fn unpack_held(&self, packed: u64) -> Result<HeldLayer, String> {
        let layer = (packed >> 2) as LayerId;
        let state =
            LayerState::try_from((packed & 3) as i32).map_err(|_| format!("layer {layer} has no known state"))?;
        if self.layers.row(layer).is_none() {
            return Err(format!("layer {layer} is on a host but not in the layer table"));
        }
        Ok(HeldLayer { layer, state })
    }
}

fn layers_row(host: &Host) -> Option<LayersRow> {
    if host.layers.is_empty() {
        return None;
    }
    let held = host.layers.iter().map(|held| u64::from(held.layer) << 2 | held.state as u64).collect();
    Some(LayersRow { host: host.id, held, pulls: host.pull_rows() })
}

fn merge(live: impl Iterator<Item = HostId>, removed: impl Iterator<Item = HostId>) -> Vec<HostId> {
    let mut ids: Vec<HostId> = live.chain(removed).collect();
    ids.sort_unstable();
    ids
}
