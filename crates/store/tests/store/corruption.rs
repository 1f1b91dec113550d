//! Damage in any file of a node's directory: either nothing is lost, or the directory is refused as lost data. Never is there
//! less than what was acknowledged, and nobody told.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{append, open, register};
use gantry_store::{LogEntry, LogPos, Offered, OpenError, ReadLimit, Store, Vote};

const ENTRIES: u64 = 60;

/// A node with its data in table files and in the WAL, and what it holds.
fn sound(dir: &Path) -> (Vec<LogEntry>, u128) {
    let entries: Vec<LogEntry> = (0..ENTRIES).map(|index| register(1, index)).collect();
    let (first, rest) = entries.split_at(ENTRIES as usize / 2);
    let mut store = open(dir).unwrap();
    append(&store, first.to_vec());
    store.machine.apply(first).unwrap();
    drop(store);
    // What is in the WAL is moved into table files by the next start.
    let mut store = open(dir).unwrap();
    append(&store, rest.to_vec());
    store.machine.apply(rest).unwrap();
    let (done, wait) = crate::support::done();
    store.log.save_vote(Vote { term: 1, node: 1, committed: true }, done);
    wait();
    let hash = store.machine.state().read().state_hash();
    drop(store);
    (entries, hash)
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Files of the database by kind: names that begin or end so.
fn files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = all
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            (name.starts_with(kind) || name.ends_with(kind)) && fs::metadata(path).unwrap().len() > 0
        })
        .collect();
    found.sort();
    found
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    FlipAt(u64),
    CutAt(u64),
    /// A block of it is where another should be.
    CopyTo(u64),
    Gone,
}

/// At every eighth of the file, and just before its end.
fn damages(size: u64) -> Vec<Damage> {
    let mut all = vec![Damage::Gone];
    for at in (0..8).map(|eighth| size * eighth / 8).chain([size - 1]) {
        all.extend([Damage::FlipAt(at), Damage::CutAt(at), Damage::CopyTo(at)]);
    }
    all
}

impl Damage {
    fn inflict(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Self::FlipAt(at) => bytes[at as usize] ^= 0x41,
            Self::CutAt(at) => bytes.truncate(at as usize),
            Self::CopyTo(at) => {
                let (at, length) = (at as usize, 64.min(bytes.len() - at as usize));
                let from = (at + bytes.len() / 2) % (bytes.len() - length + 1);
                bytes.copy_within(from..from + length, at);
            }
            Self::Gone => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }
}

/// Damages every file of a kind in every way. How often the directory was refused.
fn each_damage(kind: &str) -> (usize, usize) {
    let whole = tempfile::tempdir().unwrap();
    let (entries, hash) = sound(whole.path());
    let (mut cases, mut refused) = (0, 0);
    for path in files(whole.path(), kind) {
        let name = path.file_name().unwrap().to_owned();
        for damage in damages(fs::metadata(&path).unwrap().len()) {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(whole.path(), dir.path());
            damage.inflict(&dir.path().join("db").join(&name));
            cases += 1;
            match open(dir.path()) {
                Ok(store) => {
                    let log = store.log.read(0..u64::MAX, ReadLimit::NONE).unwrap();
                    assert_eq!(log, entries, "{damage:?} of {name:?} lost entries, and nobody was told");
                    assert_eq!(store.log.vote().map(|vote| vote.term), Some(1), "{damage:?} of {name:?} lost the vote");
                    holds(&store, &entries, hash, &format!("{damage:?} of {name:?}"));
                }
                Err(error) => {
                    assert!(error.is_lost_data(), "{damage:?} of {name:?} is not taken for damage: {error}");
                    assert!(!error.to_string().contains('\n'), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(cases > 20, "there is no {kind} to damage");
    (cases, refused)
}

/// The state may lag behind a whole log: then the log brings it up again.
fn holds(store: &Store, entries: &[LogEntry], hash: u128, what: &str) {
    let applied = store.machine.state().read().applied.map_or(0, |applied: LogPos| applied.index + 1);
    if applied == ENTRIES {
        assert_eq!(store.machine.state().read().state_hash(), hash, "{what} changed the state, and nobody was told");
    }
    let mut fleet = store.machine.state().read().fleet.host_count();
    fleet += entries[applied as usize..].len();
    assert_eq!(fleet, ENTRIES as usize, "{what} lost state");
}

#[test]
fn damage_in_the_write_ahead_log_is_noticed() {
    let (cases, refused) = each_damage(".log");
    assert!(refused > cases / 2, "{refused} of {cases}");
}

#[test]
fn damage_in_a_table_file_is_noticed() {
    let (cases, refused) = each_damage(".sst");
    assert!(refused > cases / 2, "{refused} of {cases}");
}

#[test]
fn damage_in_the_manifest_is_noticed() {
    let (_, refused) = each_damage("MANIFEST");
    assert!(refused > 5, "{refused}");
}

#[test]
fn damage_in_the_name_of_the_manifest_is_noticed() {
    let (_, refused) = each_damage("CURRENT");
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_torn_tail_that_was_never_synced_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (entries, hash) = sound(dir.path());
    let wal = files(dir.path(), ".log").pop().unwrap();
    let mut bytes = fs::read(&wal).unwrap();
    // The beginning of a record, as a power cut leaves it.
    let torn = bytes[..40].to_vec();
    bytes.extend(torn);
    fs::write(&wal, bytes).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.log.read(0..u64::MAX, ReadLimit::NONE).unwrap(), entries);
    holds(&store, &entries, hash, "a torn tail");
}

#[tokio::test]
async fn a_damaged_snapshot_loses_nothing_and_is_never_installed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, hash) = sound(dir.path());
    let store = open(dir.path()).unwrap();
    store.machine.begin_snapshot().await.unwrap().finish().await.unwrap();
    let path = fs::read_dir(dir.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    for damage in damages(whole.len() as u64).into_iter().filter(|damage| !matches!(damage, Damage::Gone)) {
        fs::write(&path, &whole).unwrap();
        damage.inflict(&path);
        if fs::read(&path).unwrap() == whole {
            continue;
        }
        let target = other.path().join(format!("{damage:?}"));
        let receiver = open(&target).unwrap();
        let before = receiver.machine.state().read().state_hash();
        let damaged = fs::read(&path).unwrap();
        let offered = Offered { position: None, size_bytes: damaged.len() as u64 };
        let mut receiving = receiver.machine.snapshots().receive(offered).unwrap();
        receiving.write(&damaged).unwrap();
        let installed = receiving.finish().and_then(|file| receiver.machine.install(file)());
        assert!(installed.is_err(), "{damage:?} was installed");
        assert_eq!(receiver.machine.state().read().state_hash(), before, "{damage:?} left a trace");
    }
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.machine.state().read().state_hash(), hash);
}

#[test]
fn a_newer_format_is_not_taken_for_damage() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("identity"), "format = 2\n").unwrap();
    let error: OpenError = open(dir.path()).unwrap_err();
    assert!(!error.is_lost_data(), "{error}");
}
