//! Key families: how each kind of row lies in RocksDB.
//!
//! All rows live in one column family. A key is the family's tag byte, then the row's own key in an order-preserving form,
//! so that walking the column family from end to end meets the rows in their canonical order ([`gantry_fleet::Fleet::rows`]):
//! the order the state is loaded in, snapshots are written in and the state hash is taken in. A value is a format version
//! byte, then the row's protobuf. To add a family: one file here, one line in [`FAMILIES`], one arm in [`key`],
//! [`value`] and [`change`].

mod host;
mod image;
mod layer;
mod layers;
mod meta;
mod policy;
mod region_alias;
mod request;
mod reservation;
mod volume;

use gantry_fleet::{Change, Row};
use prost::{DecodeError, Message};

use crate::error::StoreError;

/// The format of every value here. A family that changes its format checks the byte itself.
const FORMAT: u8 = 1;

/// One kind of row.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// First byte of its keys. Tags grow in the order of [`FAMILIES`]; none is ever used again.
    pub(crate) tag: u8,
    /// Reads the protobuf of a value.
    pub(crate) decode: fn(&[u8]) -> Result<Row, DecodeError>,
}

/// Every family, in the order rows are loaded in.
pub(crate) static FAMILIES: &[Family] = &[
    meta::FAMILY,
    layer::FAMILY,
    image::FAMILY,
    host::FAMILY,
    layers::FAMILY,
    volume::FAMILY,
    reservation::FAMILY,
    request::FAMILY,
    region_alias::FAMILY,
    policy::FAMILY,
];

/// The key of the row that `change` names, in place of what was in `out`.
pub(crate) fn key(change: &Change, out: &mut Vec<u8>) {
    match change {
        Change::Meta => put_key(&meta::FAMILY, &[], out),
        Change::Layer(layer) => put_key(&layer::FAMILY, &layer::key(*layer), out),
        Change::Image(reference) => put_key(&image::FAMILY, image::key(reference), out),
        Change::Host(host) => put_key(&host::FAMILY, &host::key(*host), out),
        Change::Layers(host) => put_key(&layers::FAMILY, &layers::key(*host), out),
        Change::Volume(volume) => put_key(&volume::FAMILY, &volume::key(*volume), out),
        Change::Reservation(reservation) => put_key(&reservation::FAMILY, &reservation::key(*reservation), out),
        Change::Request(sequence) => put_key(&request::FAMILY, &request::key(*sequence), out),
        Change::RegionAlias(name) => put_key(&region_alias::FAMILY, region_alias::key(name), out),
        Change::Policy(app) => put_key(&policy::FAMILY, policy::key(app), out),
    }
}

/// The value of `row`, in place of what was in `out`.
pub(crate) fn value(row: &Row, out: &mut Vec<u8>) {
    match row {
        Row::Meta(row) => put_value(row, out),
        Row::Layer(row) => put_value(row, out),
        Row::Image(image) => put_value(&**image, out),
        Row::Host(row) => put_value(row, out),
        Row::Layers(row) => put_value(row, out),
        Row::Volume(volume) => put_value(&**volume, out),
        Row::Reservation(reservation) => put_value(&**reservation, out),
        Row::Request(row) => put_value(row, out),
        Row::RegionAlias(alias) => put_value(&**alias, out),
        Row::Policy(policy) => put_value(&**policy, out),
    }
}

/// The change that names `row`.
pub(crate) fn change(row: &Row) -> Change {
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

/// Key and value of `row`.
pub(crate) fn encode(row: &Row, key_out: &mut Vec<u8>, value_out: &mut Vec<u8>) {
    key(&change(row), key_out);
    value(row, value_out);
}

fn put_key(family: &Family, own: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(family.tag);
    out.extend_from_slice(own);
}

fn put_value<M: Message>(message: &M, out: &mut Vec<u8>) {
    out.clear();
    out.push(FORMAT);
    message.encode(out).expect("a vector grows as needed");
}

/// Reads a row back and checks that it belongs under its key.
pub(crate) fn decode(found_under: &[u8], value: &[u8]) -> Result<Row, StoreError> {
    let damaged = |why: String| StoreError::damaged(format!("the row under key {}", hex(found_under)), why);
    let tag = found_under.first().ok_or_else(|| damaged("its key is empty".to_owned()))?;
    let family = FAMILIES
        .iter()
        .find(|family| family.tag == *tag)
        .ok_or_else(|| damaged(format!("there is no family with tag {tag}")))?;
    let (format, body) = value.split_first().ok_or_else(|| damaged("it is empty".to_owned()))?;
    if *format != FORMAT {
        let what = format!("a row of family {}", family.name);
        return Err(StoreError::Version { what, found: u32::from(*format), known: u32::from(FORMAT) });
    }
    let row = (family.decode)(body).map_err(|error| damaged(format!("family {}: {error}", family.name)))?;
    let mut want = Vec::with_capacity(found_under.len());
    key(&change(&row), &mut want);
    if want != found_under {
        return Err(damaged(format!("family {}: its content belongs under key {}", family.name, hex(&want))));
    }
    Ok(row)
}

/// The name of the family that a key belongs to.
pub(crate) fn name_of(key: &[u8]) -> &'static str {
    let family = key.first().and_then(|tag| FAMILIES.iter().find(|family| family.tag == *tag));
    family.map_or("unknown", |family| family.name)
}

/// The first bytes of a key, for messages.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let shown = bytes.iter().take(32).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    });
    if bytes.len() > 32 { shown + ".." } else { shown }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use gantry_fleet::{Answer, HostRow, LayerRow, LayersRow, MetaRow, RequestRow};
    use gantry_types::{AppPolicy, HostSpec, Image, Plan, RegionAlias, Reservation, Shape, Volume};

    use super::*;

    /// One row of every family, with the numbers `seed` and up.
    pub(crate) fn one_of_each(seed: u32) -> Vec<Row> {
        let wide = u64::from(seed);
        let reservation = Reservation {
            id: wide,
            app: "app".to_owned(),
            shape: Shape::default(),
            plan: Plan { host: seed, ..Plan::default() },
            ..Reservation::default()
        };
        vec![
            Row::Meta(MetaRow { rev: wide, next_request: wide, ..MetaRow::default() }),
            Row::Layer(LayerRow { layer: seed, digest: vec![7; 32], size_bytes: 9, diff_id: vec![8; 32] }),
            Row::Image(Arc::new(Image { reference: format!("registry/app:{seed}"), ..Image::default() })),
            Row::Host(HostRow {
                host: seed,
                spec: HostSpec { name: "h".to_owned(), ..HostSpec::default() },
                ..HostRow::default()
            }),
            Row::Layers(LayersRow { host: seed, held: vec![4, 8], ..LayersRow::default() }),
            Row::Volume(Arc::new(Volume { id: wide, host: seed, ..Volume::default() })),
            Row::Reservation(Arc::new(reservation)),
            Row::Request(RequestRow { seq: wide, answer: Some(Answer::Done(true)), ..RequestRow::default() }),
            Row::RegionAlias(Arc::new(RegionAlias { name: format!("alias-{seed}"), regions: vec!["ams".to_owned()] })),
            Row::Policy(Arc::new(AppPolicy { app: format!("app-{seed}"), ..AppPolicy::default() })),
        ]
    }

    #[test]
    fn every_family_makes_the_round_trip() {
        for row in one_of_each(300) {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            encode(&row, &mut key, &mut value);
            assert_eq!(decode(&key, &value).unwrap(), row);
        }
        assert_eq!(one_of_each(1).len(), FAMILIES.len());
    }

    #[test]
    fn keys_sort_as_rows_do() {
        let rows: Vec<Row> = (0..FAMILIES.len())
            .flat_map(|i| [1, 255, 256, 70_000].map(|seed| one_of_each(seed).swap_remove(i)))
            .collect();
        let keys: Vec<Vec<u8>> = rows
            .iter()
            .map(|row| {
                let (mut key, mut value) = (Vec::new(), Vec::new());
                encode(row, &mut key, &mut value);
                key
            })
            .collect();
        // References and names are ordered as text, which the numbers in them are not; meta has a single key.
        let by_text = [image::FAMILY.tag, region_alias::FAMILY.tag, policy::FAMILY.tag];
        assert!(keys.iter().filter(|key| !by_text.contains(&key[0])).is_sorted());
        assert!(FAMILIES.iter().map(|family| family.tag).is_sorted());
    }

    #[test]
    fn a_row_under_another_key_or_of_another_format_is_refused() {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        encode(&one_of_each(5)[5], &mut key, &mut value);
        let mut other = key.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(matches!(decode(&other, &value), Err(StoreError::Damaged { .. })));
        value[0] = FORMAT + 1;
        assert!(matches!(decode(&key, &value), Err(StoreError::Version { .. })));
    }
}
