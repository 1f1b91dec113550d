//! A stand-in for the store: rows as bytes, by key.

use std::{collections::BTreeMap, sync::Arc};

use gantry_fleet::{Change, Fleet, Row};
use prost::Message;

/// Encoded rows in canonical order: the order of [`Change`] is that of [`Row`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(BTreeMap<Change, Vec<u8>>);

impl Table {
    /// All rows of a fleet.
    pub fn of(fleet: &Fleet) -> Self {
        let mut order = Vec::new();
        let rows = fleet.rows().map(|row| {
            let key = key(&row);
            order.push(key.clone());
            (key, encode(&row))
        });
        let table = Self(rows.collect());
        assert!(order.is_sorted() && order.len() == table.0.len(), "rows are out of order or repeat");
        table
    }

    /// Writes what changed, as the store does after every entry.
    pub fn write(&mut self, fleet: &mut Fleet) {
        for change in fleet.take_changes() {
            match fleet.row(&change) {
                Some(row) => {
                    assert_eq!(key(&row), change, "a change led to another row");
                    self.0.insert(change, encode(&row));
                }
                None => drop(self.0.remove(&change)),
            }
        }
    }

    /// A fleet loaded from the rows.
    pub fn load(&self) -> Fleet {
        let mut fleet = Fleet::default();
        for (change, bytes) in &self.0 {
            fleet.load(decode(change, bytes)).unwrap_or_else(|why| panic!("{change:?} is not loaded: {why}"));
        }
        assert!(fleet.take_changes().is_empty() && fleet.take_events().is_empty(), "loading is no change");
        fleet
    }
}

fn key(row: &Row) -> Change {
    match row {
        Row::Meta(_) => Change::Meta,
        Row::Layer(row) => Change::Layer(row.layer),
        Row::Image(image) => Change::Image(image.reference.clone()),
        Row::Host(row) => Change::Host(row.host),
        Row::Layers(row) => Change::Layers(row.host),
        Row::Volume(volume) => Change::Volume(volume.id),
        Row::Reservation(reservation) => Change::Reservation(reservation.id),
        Row::Request(row) => Change::Request(row.seq),
        Row::RegionAlias(alias) => Change::RegionAlias(alias.name.clone()),
        Row::Policy(policy) => Change::Policy(policy.app.clone()),
    }
}

fn encode(row: &Row) -> Vec<u8> {
    match row {
        Row::Meta(row) => row.encode_to_vec(),
        Row::Layer(row) => row.encode_to_vec(),
        Row::Image(image) => image.encode_to_vec(),
        Row::Host(row) => row.encode_to_vec(),
        Row::Layers(row) => row.encode_to_vec(),
        Row::Volume(volume) => volume.encode_to_vec(),
        Row::Reservation(reservation) => reservation.encode_to_vec(),
        Row::Request(row) => row.encode_to_vec(),
        Row::RegionAlias(alias) => alias.encode_to_vec(),
        Row::Policy(policy) => policy.encode_to_vec(),
    }
}

fn decode(key: &Change, bytes: &[u8]) -> Row {
    match key {
        Change::Meta => Row::Meta(read(bytes)),
        Change::Layer(_) => Row::Layer(read(bytes)),
        Change::Image(_) => Row::Image(Arc::new(read(bytes))),
        Change::Host(_) => Row::Host(read(bytes)),
        Change::Layers(_) => Row::Layers(read(bytes)),
        Change::Volume(_) => Row::Volume(Arc::new(read(bytes))),
        Change::Reservation(_) => Row::Reservation(Arc::new(read(bytes))),
        Change::Request(_) => Row::Request(read(bytes)),
        Change::RegionAlias(_) => Row::RegionAlias(Arc::new(read(bytes))),
        Change::Policy(_) => Row::Policy(Arc::new(read(bytes))),
    }
}

fn read<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).expect("encoded by this table")
}
