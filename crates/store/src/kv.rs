//! What the log and the state need of a database: three columns of ordered keys behind one write-ahead log.
//!
//! [`crate::engine::Engine`] is RocksDB; the simulator has one whose disk it controls. What is written is a [`Batch`] of plain
//! bytes, so a write costs one call of the trait, however many keys it has.

use std::{any::Any, fmt::Debug, ops::Range, path::Path, sync::Arc, time::Duration};

use crate::{OpenError, StoreError, log::manifest::Manifest};

/// Where a key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    Log,
    State,
    Meta,
}

/// Rows in the order of their keys.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), StoreError>> + 'a>;

/// A database that is open. What is read back after a crash is a prefix of the batches written, and no batch in part.
pub trait KvEngine: Debug + Send + Sync {
    /// Writes a batch, whole. It is seen at once, and durable after the next [`Self::sync`].
    fn write(&self, doing: &'static str, batch: &Batch) -> Result<(), StoreError>;

    /// Makes everything written so far durable. Other writers go on meanwhile.
    fn sync(&self) -> Result<(), StoreError>;

    /// How long the next sync takes, for a caller that lets simulated time pass. A real one takes its time itself.
    fn sync_takes(&self) -> Duration {
        Duration::ZERO
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The rows with keys in `range`; those from its start on where it has no end. Walks over no row outside.
    fn rows<'a>(&'a self, column: Column, range: (&[u8], Option<&[u8]>)) -> Rows<'a>;

    /// The database as it is now, whatever is written later.
    fn view<'a>(&'a self) -> Box<dyn View + 'a>;

    /// Gives the space of deleted keys back. A hint.
    fn drop_range(&self, column: Column, range: (&[u8], &[u8])) -> Result<(), StoreError>;
}

/// A database at one moment.
pub trait View {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// All rows of a column.
    fn rows<'a>(&'a self, column: Column) -> Rows<'a>;
}

/// Opens databases.
pub trait Engines: Debug + Send + Sync {
    /// Opens the database in a data directory, or creates it. `lock` is given back once it is closed.
    fn open(&self, data_dir: &Path, lock: Box<dyn Any + Send + Sync>) -> Result<Arc<dyn KvEngine>, OpenError>;

    /// How far the database's own list of its files reaches, where it has one that can be cut without a trace.
    fn manifest(&self, data_dir: &Path) -> Option<Manifest>;
}

/// Changes that become visible together, in their order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    changes: Vec<Packed>,
}

/// Positions in a batch's bytes.
#[derive(Clone, Debug)]
struct Packed {
    column: Column,
    kind: Kind,
    first: Range<usize>,
    second: Range<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
}

/// One change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Put {
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        key: &'a [u8],
    },
    /// All keys from `from` on that are below `to`.
    DeleteRange {
        from: &'a [u8],
        to: &'a [u8],
    },
}

impl Batch {
    pub fn put(&mut self, column: Column, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.push(column, Kind::Put, key.as_ref(), value.as_ref());
    }

    pub fn delete(&mut self, column: Column, key: impl AsRef<[u8]>) {
        self.push(column, Kind::Delete, key.as_ref(), &[]);
    }

    pub fn delete_range(&mut self, column: Column, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) {
        self.push(column, Kind::DeleteRange, from.as_ref(), to.as_ref());
    }

    fn push(&mut self, column: Column, kind: Kind, first: &[u8], second: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(first);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(second);
        self.changes.push(Packed { column, kind, first: start..middle, second: middle..self.bytes.len() });
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What it takes in memory and on the disk, near enough to bound both.
    pub fn size_bytes(&self) -> usize {
        const OVERHEAD_BYTES: usize = 16;
        self.bytes.len() + self.changes.len() * OVERHEAD_BYTES
    }

    pub fn changes(&self) -> impl Iterator<Item = (Column, Change<'_>)> {
        self.changes.iter().map(|Packed { column, kind, first, second }| {
            let (first, second) = (&self.bytes[first.clone()], &self.bytes[second.clone()]);
            let change = match kind {
                Kind::Put => Change::Put { key: first, value: second },
                Kind::Delete => Change::Delete { key: first },
                Kind::DeleteRange => Change::DeleteRange { from: first, to: second },
            };
            (*column, change)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_its_changes_in_their_order() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.put(Column::Log, [1], b"one");
        batch.delete(Column::Meta, b"gone");
        batch.delete_range(Column::State, [], [0xff]);
        let changes: Vec<_> = batch.changes().collect();
        let want = [
            (Column::Log, Change::Put { key: &[1], value: b"one" }),
            (Column::Meta, Change::Delete { key: b"gone" }),
            (Column::State, Change::DeleteRange { from: &[], to: &[0xff] }),
        ];
        assert_eq!(changes, want);
    }
}
