//! What lies on disks: written by an old version, it must be read for ever, and written as it always was for as long as the
//! version in it stays the same.
//!
//! The files in `tests/fixtures/v1` hold what the first version wrote of the small history in [`history`]: every record of the
//! database as a line `KEY VALUE` in hexadecimal digits, and every file as one line. A file there is never changed. A format
//! that changes gets its next version, a folder of its own, and a reader of both. What is made anew is written by
//!
//! `cargo test -p gantry-store --test store -- --ignored write_the_fixtures`

mod history;

use std::{
    fs,
    path::{Path, PathBuf},
};

use gantry_fleet::{FEATURE_LEVEL_MAX, MetaRow};
use gantry_store::{
    Identity, LogPos, Member, OpenError, ReadLimit, Store, StoreConfig, StoreError, known_members,
    offline::{
        backup::{self, Backup},
        inspect::inspect,
        restore::{NewCluster, restore},
    },
};
use prost::Message;

use crate::support::{append, done};

const FAMILIES: [&str; 3] = ["log", "state", "meta"];
const FILES: [&str; 4] = ["identity", "members", "snapshot", "backup"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn fixture(name: &str) -> String {
    let path = folder().join(format!("{name}.hex"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn config(dir: &Path) -> StoreConfig {
    StoreConfig { data_dir: dir.to_owned(), cluster: "north".to_owned(), node: 2 }
}

/// Lives the history in `dir` with this version, and gives what lies there then, by the fixtures' names.
async fn written(dir: &Path) -> Vec<(String, String)> {
    let mut store = Store::open(&config(dir)).unwrap();
    assert!(store.owner.join(0xfeed).unwrap());
    let entries = history::entries();
    append(&store, entries.clone());
    let (voted, wait) = done();
    store.log.save_vote(history::VOTE, voted);
    wait();
    for applied in store.machine.apply(&entries).unwrap().into_iter().flatten() {
        assert!(applied.outcomes.iter().all(Result::is_ok), "the history is not lived: {:?}", applied.outcomes);
    }
    store.owner.note_members(history::members()).unwrap();
    let snapshot = store.machine.begin_snapshot().await.unwrap().finish().await.unwrap();
    let snapshot_bytes = snapshot.read_at(0, usize::MAX >> 1).unwrap();
    let backup = [backup::prelude(&store.owner.identity(), &snapshot), snapshot_bytes.clone()].concat();
    drop(snapshot);
    drop(store);
    let file = |name: &str| fs::read(dir.join(name)).unwrap();
    let files = [file("identity"), file("members"), snapshot_bytes, backup];
    let files = FILES.iter().zip(files).map(|(name, bytes)| ((*name).to_owned(), format!("{}\n", hex(&bytes))));
    let database = open_database(dir);
    let records = FAMILIES.iter().map(|name| ((*name).to_owned(), records(&database, name)));
    files.chain(records).collect()
}

fn open_database(dir: &Path) -> rocksdb::DB {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    rocksdb::DB::open_cf(&options, dir.join("db"), FAMILIES).unwrap()
}

fn records(database: &rocksdb::DB, family: &str) -> String {
    let rows = database.iterator_cf(database.cf_handle(family).unwrap(), rocksdb::IteratorMode::Start);
    rows.map(|row| row.map(|(key, value)| format!("{} {}\n", hex(&key), hex(&value))).unwrap()).collect()
}

/// The first mark of a directory. A later one is not among the fixtures: how often it is written hangs on the disk. Its own test
/// holds its bytes.
const MARK: [u8; 7] = [2, 8, 1, 226, 183, 27, 67];

/// A data directory as the first version left it.
fn directory_of_the_first_version(dir: &Path) {
    for name in ["identity", "members"] {
        fs::write(dir.join(name), bytes(fixture(name).trim())).unwrap();
    }
    fs::write(dir.join("mark"), MARK).unwrap();
    let database = open_database(dir);
    for family in FAMILIES {
        for line in fixture(family).lines() {
            let (key, value) = line.split_once(' ').unwrap();
            database.put_cf(database.cf_handle(family).unwrap(), bytes(key), bytes(value)).unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "writes the fixtures of a new format"]
async fn write_the_fixtures() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder()).unwrap();
    for (name, text) in written(dir.path()).await {
        let path = folder().join(format!("{name}.hex"));
        assert!(!path.exists(), "{} is there: a format that was given out is never changed", path.display());
        fs::write(path, text).unwrap();
    }
}

#[tokio::test]
async fn what_is_written_is_as_it_always_was() {
    let dir = tempfile::tempdir().unwrap();
    let written = written(dir.path()).await;
    assert_eq!(written.len(), FILES.len() + FAMILIES.len());
    for (name, text) in written {
        for (at, (now, then)) in text.lines().zip(fixture(&name).lines()).enumerate() {
            assert_eq!(now, then, "{name}, line {}: another encoding needs another version", at + 1);
        }
        assert_eq!(text.lines().count(), fixture(&name).lines().count(), "{name}");
    }
}

/// A family that has no row here would not be noticed when its rows change.
#[test]
fn the_history_has_a_row_of_every_family() {
    let dir = tempfile::tempdir().unwrap();
    directory_of_the_first_version(dir.path());
    let found = inspect(dir.path()).unwrap();
    let families: Vec<&str> = found.state.unwrap().rows.into_keys().collect();
    let all =
        ["host", "image", "layer", "layers", "meta", "policy", "region alias", "request", "reservation", "volume"];
    assert_eq!(families, all);
}

#[test]
fn a_directory_of_the_first_version_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    directory_of_the_first_version(dir.path());
    assert_eq!(Identity::read(dir.path()).unwrap(), Some(Identity::new("north", 0xfeed, 2)));
    assert_eq!(known_members(dir.path()), history::members());
    let found = inspect(dir.path()).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    let store = Store::open(&config(dir.path())).unwrap();
    let entries = history::entries();
    assert_eq!(store.log.read(0..99, ReadLimit::NONE).unwrap(), entries);
    assert_eq!(store.log.vote(), Some(history::VOTE));
    let state = store.machine.state().read();
    state.fleet.check().unwrap();
    assert_eq!(state.applied, entries.last().map(|entry| entry.pos));
    assert_eq!((state.fleet.reservation_count(), state.fleet.volume_count()), (1, 1));
    assert_eq!(state.membership.members, history::members());
}

#[test]
fn a_backup_of_the_first_version_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    fs::write(&file, bytes(fixture("backup").trim())).unwrap();
    let backup = Backup::open(&file).unwrap();
    assert_eq!((backup.cluster.as_str(), backup.cluster_id, backup.node), ("north", 0xfeed, 2));
    assert_eq!(backup.counts(), [1, 1, 1]);
    let snapshot = bytes(fixture("snapshot").trim());
    assert!(fs::read(&file).unwrap().ends_with(&snapshot), "a backup is a snapshot with a prelude");
    let members = vec![Member { id: 2, raft_addr: "n2:7401".to_owned(), client_addr: "n2:7400".to_owned() }];
    let target = dir.path().join("new");
    restore(backup, &NewCluster { name: "north".to_owned(), id: 7, members }, &[(2, target.clone())]).unwrap();
    assert_eq!(Store::open(&config(&target)).unwrap().machine.state().read().fleet.host_count(), 1);
}

/// It is sound: an older version must not take it for damage, and give it up.
#[test]
fn what_a_newer_version_wrote_is_refused_by_name_and_left_alone() {
    let refused = |change: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        directory_of_the_first_version(dir.path());
        change(dir.path());
        let error = Store::open(&config(dir.path())).unwrap_err();
        assert!(!error.is_lost_data(), "its data would be given up: {error}");
        error
    };
    let change_record = |dir: &Path, family: &str, key: &[u8], change: &dyn Fn(&mut Vec<u8>)| {
        let database = open_database(dir);
        let family = database.cf_handle(family).unwrap();
        let mut value = database.get_cf(family, key).unwrap().unwrap();
        change(&mut value);
        database.put_cf(family, key, value).unwrap();
    };
    let is_version = |error: OpenError| {
        let named = matches!(&error, OpenError::Unreadable { source: StoreError::Version { .. }, .. });
        assert!(named && error.to_string().contains("newer version"), "{error}");
    };

    let error = refused(&|dir| {
        let text = fs::read_to_string(dir.join("identity")).unwrap();
        fs::write(dir.join("identity"), text.replace("format = 1", "format = 2")).unwrap();
    });
    assert!(error.to_string().contains("format is 2") && error.to_string().contains("newer version"), "{error}");
    // A row, a record of the log's position, an entry of the log, and the level of the state as a whole.
    is_version(refused(&|dir| change_record(dir, "state", &[1], &|value| value[0] = 2)));
    is_version(refused(&|dir| {
        change_record(dir, "meta", b"vote", &|value| {
            value.truncate(value.len() - 4);
            value[0] = 2;
            value.extend(crc32fast::hash(value).to_le_bytes());
        });
    }));
    is_version(refused(&|dir| {
        let last = history::entries().len() as u64 - 1;
        change_record(dir, "log", &last.to_be_bytes(), &|value| {
            value.truncate(value.len() - 4);
            value[1] = 2;
            value.extend(crc32fast::hash(value).to_le_bytes());
        });
    }));
    is_version(refused(&|dir| {
        change_record(dir, "state", &[1], &|value| {
            let mut row = MetaRow::decode(&value[1..]).unwrap();
            row.feature_level = FEATURE_LEVEL_MAX + 1;
            value.truncate(1);
            row.encode(value).unwrap();
        });
    }));
}

/// Before there was a format there was none: a number below the first one is nobody's.
#[test]
fn a_format_that_never_was_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    directory_of_the_first_version(dir.path());
    let text = fs::read_to_string(dir.path().join("identity")).unwrap();
    fs::write(dir.path().join("identity"), text.replace("format = 1", "format = 0")).unwrap();
    let error = Store::open(&config(dir.path())).unwrap_err().to_string();
    assert!(error.contains("format is 0") && error.contains("no version of gantry"), "{error}");
}

/// The positions in the fixtures are those of the history.
#[test]
fn the_fixtures_are_of_this_history() {
    let last = history::entries().last().unwrap().pos;
    assert_eq!(last, LogPos::new(3, 2, fixture("log").lines().count() as u64 - 1));
}
