//! The one RocksDB of a node: its column families and its settings.

use std::{any::Any, path::Path, sync::Arc};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::{
    error::{OpenError, StoreError},
    kv::{Batch, Change, Column, Engines, KvEngine, Rows, View},
    log::manifest::{self, Manifest},
};

/// Of the data directory.
pub(crate) const DIR: &str = "db";
const LOG: &str = "log";
const STATE: &str = "state";
const META: &str = "meta";

/// Block cache for both: the log is read from memory and the state is held in memory, so it serves restarts only.
const BLOCK_CACHE_BYTES: usize = 16 << 20;
/// A large memtable lets most log entries be purged before they are ever written a second time.
const LOG_MEMTABLE_BYTES: usize = 128 << 20;
const STATE_MEMTABLE_BYTES: usize = 64 << 20;
/// WAL kept at most before the column family that holds it back is flushed.
const WAL_BYTES: u64 = 512 << 20;
/// Flushes and compactions at once. More would only take the two cores away from serving.
const BACKGROUND_JOBS: i32 = 2;
/// Table files go to the disk in parts of this size while they are written. Without it the sync at their end moves a whole
/// memtable at once, and every sync of the log behind it waits for that.
const WRITE_BACK_BYTES: u64 = 1 << 20;
/// What flushes and compactions may write, so that they share the disk with the log instead of filling its queue. Several
/// times what the state and the log bring in at full load.
const BACKGROUND_BYTES_PER_SECOND: i64 = 128 << 20;
const BACKGROUND_REFILL_US: i64 = 10_000;
const BACKGROUND_FAIRNESS: i32 = 10;
const BLOCK_BYTES: usize = 32 << 10;
/// Of walks over all rows, as a start makes one over the state.
const READ_AHEAD_BYTES: usize = 2 << 20;
const INFO_LOG_BYTES: usize = 4 << 20;
const INFO_LOG_FILES: usize = 3;

/// An open RocksDB. The log, the state and the meta records share one WAL, so what is read back after a crash is a prefix
/// of what was written, over all three: state never survives without the log entries it came from.
pub(crate) struct Engine {
    db: DB,
    /// Given back after the database is closed.
    _lock: Option<Box<dyn Any + Send + Sync>>,
}

impl Engine {
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let db = DB::open_cf_descriptors(&database_options(), dir.join(DIR), families()).map_err(|error| {
            let why = error.to_string();
            let source = StoreError::Engine { doing: "open the database", source: error };
            if source.is_damage() {
                return OpenError::Unreadable { dir: dir.to_owned(), source };
            }
            if why.contains("/LOCK") {
                return OpenError::Locked { dir: dir.to_owned() };
            }
            OpenError::Unusable { dir: dir.to_owned(), why }
        })?;
        Ok(Self { db, _lock: None })
    }

    /// Opens what is there without changing any of it, also while a server has it open.
    pub(crate) fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let mut options = database_options();
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        let db = DB::open_cf_descriptors_read_only(&options, dir.join(DIR), families(), false);
        Ok(Self { db: db.map_err(StoreError::engine("open the database"))?, _lock: None })
    }

    fn family(&self, column: Column) -> &ColumnFamily {
        self.db.cf_handle(name(column)).expect("the column family was opened with the database and is never dropped")
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.db.path().display())
    }
}

fn name(column: Column) -> &'static str {
    match column {
        Column::Log => LOG,
        Column::State => STATE,
        Column::Meta => META,
    }
}

/// Opens RocksDB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RocksDb;

impl Engines for RocksDb {
    fn open(&self, data_dir: &Path, lock: Box<dyn Any + Send + Sync>) -> Result<Arc<dyn KvEngine>, OpenError> {
        let engine = Engine::open(data_dir)?;
        Ok(Arc::new(Engine { _lock: Some(lock), ..engine }))
    }

    fn manifest(&self, data_dir: &Path) -> Option<Manifest> {
        manifest::current(data_dir)
    }
}

impl KvEngine for Engine {
    fn write(&self, doing: &'static str, batch: &Batch) -> Result<(), StoreError> {
        let families = [Column::Log, Column::State, Column::Meta].map(|column| self.family(column));
        let mut rocks = WriteBatch::with_capacity_bytes(batch.size_bytes());
        for (column, change) in batch.changes() {
            let family = families[column as usize];
            match change {
                Change::Put { key, value } => rocks.put_cf(family, key, value),
                Change::Delete { key } => rocks.delete_cf(family, key),
                Change::DeleteRange { from, to } => rocks.delete_range_cf(family, from, to),
            }
        }
        self.db.write_opt(rocks, &WriteOptions::default()).map_err(StoreError::engine(doing))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(StoreError::engine("sync the write-ahead log"))
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(column), key).map_err(StoreError::engine(reading(column)))
    }

    fn rows<'a>(&'a self, column: Column, (from, to): (&[u8], Option<&[u8]>)) -> Rows<'a> {
        // Bounded on both sides, so that it never walks over the tombstones of what was purged.
        let mut options = passing();
        options.set_iterate_lower_bound(from);
        match to {
            Some(to) => options.set_iterate_upper_bound(to),
            None => options.set_readahead_size(READ_AHEAD_BYTES),
        }
        let mode = IteratorMode::From(from, Direction::Forward);
        let rows = self.db.iterator_cf_opt(self.family(column), options, mode);
        Box::new(rows.map(move |row| row.map_err(StoreError::engine(reading(column)))))
    }

    fn view<'a>(&'a self) -> Box<dyn View + 'a> {
        Box::new(EngineView { engine: self, snapshot: self.db.snapshot() })
    }

    fn drop_range(&self, column: Column, (from, to): (&[u8], &[u8])) -> Result<(), StoreError> {
        let dropped = self.db.delete_file_in_range_cf(self.family(column), from, to);
        dropped.map_err(StoreError::engine("drop whole files"))
    }
}

struct EngineView<'a> {
    engine: &'a Engine,
    snapshot: rocksdb::Snapshot<'a>,
}

impl View for EngineView<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot.get_cf(self.engine.family(column), key).map_err(StoreError::engine(reading(column)))
    }

    fn rows<'a>(&'a self, column: Column) -> Rows<'a> {
        let rows = self.snapshot.iterator_cf_opt(self.engine.family(column), passing(), IteratorMode::Start);
        Box::new(rows.map(move |row| row.map_err(StoreError::engine(reading(column)))))
    }
}

/// Of a walk over rows that nobody will look at again soon.
fn passing() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options
}

fn reading(column: Column) -> &'static str {
    match column {
        Column::Log => "read the log",
        Column::State => "read the state",
        Column::Meta => "read a meta record",
    }
}

fn families() -> [ColumnFamilyDescriptor; 3] {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    [
        ColumnFamilyDescriptor::new(LOG, log_options(&cache)),
        ColumnFamilyDescriptor::new(STATE, state_options(&cache)),
        ColumnFamilyDescriptor::new(META, state_options(&cache)),
    ]
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // The WAL is written to the file and synced only in `sync`, once for many writes. Its files are not recycled: the
    // gain of a cheaper fdatasync is small beside the risk of reading a recycled record as a new one.
    options.set_manual_wal_flush(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_bytes_per_sync(WRITE_BACK_BYTES);
    options.set_ratelimiter(BACKGROUND_BYTES_PER_SECOND, BACKGROUND_REFILL_US, BACKGROUND_FAIRNESS);
    options.set_max_log_file_size(INFO_LOG_BYTES);
    options.set_keep_log_file_num(INFO_LOG_FILES);
    options.set_stats_dump_period_sec(0);
    options
}

/// Appended in order of the key, read from its end or not at all, deleted from its front in ranges.
fn log_options(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(LOG_MEMTABLE_BYTES);
    options.set_max_write_buffer_number(3);
    options.set_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(&blocks(cache));
    options
}

/// Small rows, many of them overwritten or deleted soon.
fn state_options(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(STATE_MEMTABLE_BYTES);
    options.set_max_write_buffer_number(3);
    let (fast, none) = (DBCompressionType::Lz4, DBCompressionType::None);
    options.set_compression_per_level(&[none, none, fast, fast, fast, fast, fast]);
    options.set_block_based_table_factory(&blocks(cache));
    options
}

fn blocks(cache: &Cache) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(BLOCK_BYTES);
    blocks
}
