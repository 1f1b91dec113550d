//! The database: a batch is whole or not there, and what a crash leaves is a prefix of what was written.

use std::{any::Any, collections::BTreeMap, io, ops::Bound, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use gantry_store::{
    APPLIED_KEY, Batch, Change, Column, Engines, KvEngine, LogPos, Manifest, OpenError, Rows, StoreError, VOTE_KEY,
    View, applied_of_record, entry_of_record,
};
use tokio::time::Instant;

use super::{Held, Room, failed};
use crate::{bug::Bug, chance::Chance};

/// What a sync of a healthy disk takes at most.
const SYNC_MS: u64 = 2;

/// Key and value.
type Row = (Box<[u8]>, Box<[u8]>);

/// The rows of all columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables([BTreeMap<Vec<u8>, Cell>; 3]);

/// What lies under a key.
#[derive(Clone, Debug)]
struct Cell {
    value: Bytes,
    /// A bit of it has turned round. The database keeps a checksum of each block, so whoever reads it is told.
    is_rotten: bool,
}

impl Cell {
    fn read(&self, key: &[u8]) -> Result<Bytes, StoreError> {
        if self.is_rotten {
            let (what, why) = (format!("the block of key {key:02x?}"), "its checksum is wrong".to_owned());
            return Err(StoreError::Damaged { what, why });
        }
        Ok(self.value.clone())
    }
}

impl Tables {
    /// Makes the changes that are `wanted`.
    pub(super) fn apply(&mut self, batch: &Batch, wanted: impl Fn(Column, &[u8]) -> bool) {
        for (column, change) in batch.changes() {
            let rows = &mut self.0[column as usize];
            match change {
                Change::Put { key, value } if wanted(column, key) => {
                    let value = Bytes::copy_from_slice(value);
                    rows.insert(key.to_owned(), Cell { value, is_rotten: false });
                }
                Change::Delete { key } if wanted(column, key) => {
                    rows.remove(key);
                }
                Change::Put { .. } | Change::Delete { .. } => {}
                Change::DeleteRange { from, to } => {
                    let range = (Bound::Included(from), Bound::Excluded(to));
                    let gone: Vec<Vec<u8>> = rows.range::<[u8], _>(range).map(|(key, _)| key.clone()).collect();
                    gone.iter().for_each(|key| drop(rows.remove(key)));
                }
            }
        }
    }

    /// What is under a key, where it is whole.
    pub(super) fn get(&self, column: Column, key: &[u8]) -> Option<Bytes> {
        self.read(column, key).ok().flatten()
    }

    fn read(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0[column as usize].get(key).map(|cell| cell.read(key)).transpose()
    }

    /// A key of the older half.
    pub(super) fn some_old_key(&self, column: Column, chance: &mut Chance) -> Option<Vec<u8>> {
        let rows = &self.0[column as usize];
        let old = if column == Column::Meta { rows.len() } else { rows.len() / 2 };
        chance.pick(&rows.keys().take(old).collect::<Vec<_>>()).map(|key| (*key).clone())
    }

    pub(super) fn rot(&mut self, column: Column, key: &[u8]) {
        if let Some(cell) = self.0[column as usize].get_mut(key) {
            cell.is_rotten = true;
        }
    }

    /// Whether a state of `applied` may come next: the log has that entry, or does not reach there, where a snapshot is
    /// installed.
    fn leads_to(&self, applied: LogPos) -> Result<(), String> {
        let log = &self.0[Column::Log as usize];
        let Some((key, cell)) = log.range(applied.index.to_be_bytes().to_vec()..).next() else { return Ok(()) };
        let index = <[u8; 8]>::try_from(&**key).map(u64::from_be_bytes).unwrap_or_default();
        // One that has rotted says nothing.
        let Ok(entry) = entry_of_record(index, cell.value.clone()) else { return Ok(()) };
        // What is purged up to the entry after it was there.
        if entry.pos == applied || (index == applied.index + 1 && entry.pos > applied) {
            return Ok(());
        }
        Err(format!("a state of {applied:?} was written where the log has {:?}", entry.pos))
    }

    fn rows(&self, column: Column, (from, to): (&[u8], Option<&[u8]>)) -> Vec<Result<Row, StoreError>> {
        if to.is_some_and(|to| to <= from) {
            return Vec::new();
        }
        let range = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        let rows = self.0[column as usize].range::<[u8], _>(range);
        rows.map(|(key, cell)| Ok((key.clone().into_boxed_slice(), Vec::from(cell.read(key)?).into_boxed_slice())))
            .collect()
    }
}

impl Engines for Held {
    fn open(&self, _: &Path, _lock: Box<dyn Any + Send + Sync>) -> Result<Arc<dyn KvEngine>, OpenError> {
        Ok(Arc::new(self.clone()))
    }

    fn manifest(&self, _: &Path) -> Option<Manifest> {
        None
    }
}

impl KvEngine for Held {
    fn write(&self, doing: &'static str, batch: &Batch) -> Result<(), StoreError> {
        let mut inner = self.changes().map_err(|error| failed(doing, error))?;
        if inner.faults.room == Room::None {
            return Err(failed(doing, io::ErrorKind::StorageFull.into()));
        }
        inner.written.apply(batch, |_, _| true);
        let applied = batch.changes().find_map(|change| match change {
            (Column::Meta, Change::Put { key: APPLIED_KEY, value }) => applied_of_record(value).ok(),
            _ => None,
        });
        if let Some(Err(why)) = applied.map(|applied| inner.written.leads_to(applied)) {
            inner.inverted.get_or_insert(why);
        }
        inner.pending.push(batch.clone());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.changes().map_err(|error| failed("sync", error))?;
        match &mut inner.faults.fails_after {
            Some(0) => {
                inner.faults.fails_after = None;
                return Err(failed("sync", io::Error::other("input/output error")));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let bug = inner.bug;
        if bug == Some(Bug::AnswerBeforeSync) {
            return Ok(());
        }
        let pending = std::mem::take(&mut inner.pending);
        let keeps_votes = bug != Some(Bug::VoteNotDurable);
        let wanted = |column, key: &[u8]| keeps_votes || column != Column::Meta || key != VOTE_KEY;
        pending.iter().for_each(|batch| inner.durable.apply(batch, wanted));
        Ok(())
    }

    fn sync_takes(&self) -> Duration {
        let Ok(mut inner) = self.inner() else { return Duration::ZERO };
        let slow = inner.faults.slow.filter(|(until, _)| Instant::now() < *until).map(|(_, most)| most);
        let most = slow.map_or(SYNC_MS, |most| most.as_millis() as u64);
        inner.chance.ms(most / 4, most)
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = self.inner().map_err(|error| failed("read", error))?;
        Ok(inner.written.read(column, key)?.map(Vec::from))
    }

    fn rows<'a>(&'a self, column: Column, range: (&[u8], Option<&[u8]>)) -> Rows<'a> {
        match self.inner() {
            Ok(inner) => Box::new(inner.written.rows(column, range).into_iter()),
            Err(error) => Box::new(std::iter::once(Err(failed("read", error)))),
        }
    }

    fn view<'a>(&'a self) -> Box<dyn View + 'a> {
        // A view of a life that is over is never asked for its content by anybody whose answer counts.
        let mut tables = self.inner().map(|inner| inner.written.clone()).unwrap_or_default();
        tables.0[Column::Log as usize].clear();
        Box::new(Seen(tables))
    }

    fn drop_range(&self, _: Column, _: (&[u8], &[u8])) -> Result<(), StoreError> {
        Ok(())
    }
}

/// State and meta records at one moment.
struct Seen(Tables);

impl View for Seen {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.read(column, key)?.map(Vec::from))
    }

    fn rows<'a>(&'a self, column: Column) -> Rows<'a> {
        Box::new(self.0.rows(column, (&[], None)).into_iter())
    }
}
