//! Building the state in memory from its rows. One thread reads and decodes them, another puts them together: a restart waits
//! for nothing else as long.

use std::sync::mpsc;

use gantry_fleet::{Fleet, Row};

use crate::{apply::put_row, error::StoreError, family};

/// Rows that are handed over at once, and how many such parts may lie between the two threads.
const PART_ROWS: usize = 1_024;
const PARTS_AHEAD: usize = 64;

type Part = Result<Vec<Row>, StoreError>;

/// The fleet that has these rows, given as key and value in canonical order. The first that cannot be read or does not fit to
/// those before it ends it.
pub(crate) fn fleet<K, V>(rows: impl Iterator<Item = Result<(K, V), StoreError>>) -> Result<Fleet, StoreError>
where
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let (parts, decoded) = mpsc::sync_channel(PARTS_AHEAD);
    std::thread::scope(|scope| {
        // Where it ends early it drops its end of the channel, which ends the decoding.
        let together = scope.spawn(move || put_together(decoded));
        decode(rows, parts);
        together.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn decode<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    rows: impl Iterator<Item = Result<(K, V), StoreError>>,
    parts: mpsc::SyncSender<Part>,
) {
    let mut part = Vec::with_capacity(PART_ROWS);
    for row in rows {
        match row.and_then(|(key, value)| family::decode(key.as_ref(), value.as_ref())) {
            Ok(row) => part.push(row),
            Err(error) => return drop(parts.send(Ok(part)).and_then(|()| parts.send(Err(error)))),
        }
        if part.len() == PART_ROWS
            && parts.send(Ok(std::mem::replace(&mut part, Vec::with_capacity(PART_ROWS)))).is_err()
        {
            return;
        }
    }
    // Nobody may be waiting any more.
    drop(parts.send(Ok(part)));
}

fn put_together(parts: mpsc::Receiver<Part>) -> Result<Fleet, StoreError> {
    let mut fleet = Fleet::default();
    for part in parts {
        part?.into_iter().try_for_each(|row| put_row(&mut fleet, row))?;
    }
    Ok(fleet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::tests::one_of_each;

    type Encoded = Result<(Vec<u8>, Vec<u8>), StoreError>;

    fn encoded(rows: &[Row]) -> Vec<Encoded> {
        let encode = |row| {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            family::encode(row, &mut key, &mut value);
            Ok((key, value))
        };
        rows.iter().map(encode).collect()
    }

    fn layers(count: u32) -> Vec<Row> {
        (1..=count).map(|seed| one_of_each(seed).swap_remove(1)).collect()
    }

    #[test]
    fn all_rows_arrive_in_their_order() {
        let rows: Vec<Row> = (1..=3_000).flat_map(|seed| one_of_each(seed).pop()).collect();
        let fleet = fleet(encoded(&rows).into_iter()).unwrap();
        assert_eq!(fleet.rows().filter(|row| matches!(row, Row::Policy(_))).count(), 3_000);
    }

    #[test]
    fn the_first_error_ends_it_wherever_it_is() {
        for at in [0, 1_023, 1_024, 99_000] {
            let mut rows = encoded(&layers(100_000));
            let (key, value) = rows[at].as_mut().unwrap();
            let key = family::hex(key);
            value[0] ^= 1;
            let error = fleet(rows.into_iter()).unwrap_err();
            assert!(matches!(error, StoreError::Version { .. }), "{key}: {error}");
        }
        // A reservation on a host that is not there.
        let mut rows = one_of_each(1);
        let error = fleet(encoded(&rows.drain(6..7).collect::<Vec<_>>()).into_iter()).unwrap_err().to_string();
        assert!(error.contains("which is not there") && error.contains("the row under key"), "{error}");
    }
}
