//! The one RocksDB of a node: its column families and its settings.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Options,
    WriteBatch, WriteOptions,
};

use crate::{
    dir_lock::DirLock,
    error::{OpenError, StoreError},
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
const INFO_LOG_BYTES: usize = 4 << 20;
const INFO_LOG_FILES: usize = 3;

/// An open RocksDB. The log, the state and the meta records share one WAL, so what is read back after a crash is a prefix
/// of what was written, over all three: state never survives without the log entries it came from.
pub(crate) struct Engine {
    db: DB,
    /// Given back after the database is closed.
    _lock: Option<DirLock>,
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

    /// With the lock of its directory, for as long as it is open.
    pub(crate) fn holding(self, lock: DirLock) -> Self {
        Self { _lock: Some(lock), ..self }
    }

    pub(crate) fn db(&self) -> &DB {
        &self.db
    }

    pub(crate) fn log(&self) -> &ColumnFamily {
        self.family(LOG)
    }

    pub(crate) fn state(&self) -> &ColumnFamily {
        self.family(STATE)
    }

    pub(crate) fn meta(&self) -> &ColumnFamily {
        self.family(META)
    }

    fn family(&self, name: &'static str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("the column family was opened with the database and is never dropped")
    }

    /// Writes a batch into memory and the WAL's buffer. It is durable after the next [`Engine::sync`].
    pub(crate) fn write(&self, doing: &'static str, batch: WriteBatch) -> Result<(), StoreError> {
        self.db.write_opt(batch, &WriteOptions::default()).map_err(StoreError::engine(doing))
    }

    /// Makes everything written so far durable. Other writers go on meanwhile.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(StoreError::engine("sync the write-ahead log"))
    }

    pub(crate) fn read_meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.meta(), key).map_err(StoreError::engine("read a meta record"))
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
