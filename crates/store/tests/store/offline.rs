//! What is done with a directory that no server has open: look, back up, restore, recover.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::support::{append, open, register};
use gantry_store::{
    LogEntry, LogPos, Member, Membership, OpenError, Payload, Store, StoreConfig, Vote, Voters,
    offline::{
        backup::{self, Backup, BackupError},
        inspect::inspect,
        recover::{self, RecoverError},
        restore::{NewCluster, RestoreError, restore},
    },
};

const OLD: u64 = 0xfeed;

fn member(id: u64) -> Member {
    Member { id, raft_addr: format!("n{id}:7401"), client_addr: format!("n{id}:7400") }
}

fn members(ids: &[u64]) -> Membership {
    let members = ids.iter().map(|id| member(*id)).collect();
    Membership { pos: None, configs: vec![Voters { ids: ids.to_vec() }], members, retired: vec![9] }
}

fn new_cluster(ids: &[u64]) -> NewCluster {
    NewCluster { name: "test".to_owned(), id: 0xbeef, members: ids.iter().map(|id| member(*id)).collect() }
}

/// A member of a cluster of three, with `hosts` hosts; the last entry is in the log only.
fn survivor(dir: &Path, hosts: u64) -> Store {
    let mut store = open(dir).unwrap();
    assert!(store.owner.join(OLD).unwrap());
    let first = LogEntry { pos: LogPos::new(2, 1, 0), payload: Payload::Membership(members(&[1, 2, 3]).into()) };
    let entries: Vec<LogEntry> = std::iter::once(first).chain((1..=hosts).map(|index| register(2, index))).collect();
    append(&store, entries.clone());
    store.machine.apply(&entries[..entries.len() - 1]).unwrap();
    let (done, wait) = crate::support::done();
    store.log.save_committed(Some(entries[entries.len() - 2].pos));
    store.log.save_vote(Vote { term: 2, node: 1, committed: true }, done);
    wait();
    store
}

async fn back_up(store: &Store, to: &Path) {
    let snapshot = store.machine.begin_snapshot().await.unwrap().finish().await.unwrap();
    let mut bytes = backup::prelude(&store.owner.identity(), &snapshot);
    bytes.extend(snapshot.read_at(0, usize::MAX >> 1).unwrap());
    fs::write(to, bytes).unwrap();
}

/// Every file with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn looking_tells_all_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = survivor(dir.path(), 5);
    store.machine.begin_snapshot().await.unwrap().finish().await.unwrap();
    let hash = store.machine.state().read().state_hash();
    assert!(inspect(dir.path()).unwrap().in_use);
    drop(store);
    let before = files(dir.path());
    let found = inspect(dir.path()).unwrap();
    assert_eq!(files(dir.path()), before, "inspecting left a trace");
    assert!(!found.in_use && found.problems.is_empty(), "{found:?}");
    let (log, state) = (found.log.unwrap(), found.state.unwrap());
    assert_eq!((log.first.unwrap().index, log.last.unwrap().index, log.entries), (0, 5, 6));
    assert_eq!(log.committed.unwrap().index, 4);
    assert_eq!((state.applied.unwrap().index, state.hash, state.rows["host"]), (4, hash, 4));
    assert_eq!(found.snapshots[0].content.unwrap().hash, hash);
    assert_eq!(found.mark.last, log.last);
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(inspect(&dir.path().join("none")).is_err());
    assert!(inspect(dir.path()).unwrap_err().to_string().contains("it is no data directory"));
}

#[tokio::test]
async fn a_backup_restores_onto_any_number_of_members() {
    let dir = tempfile::tempdir().unwrap();
    let (old, file) = (dir.path().join("old"), dir.path().join("backup"));
    let mut store = survivor(&old, 6);
    let rest = store.log.read(0..99, gantry_store::ReadLimit::NONE).unwrap();
    store.machine.apply(&rest[6..]).unwrap();
    back_up(&store, &file).await;
    let ids = [1, 2, 4, 5, 6];
    let targets: Vec<_> = ids.iter().map(|id| (*id, dir.path().join(format!("node-{id}")))).collect();
    let made = restore(Backup::open(&file).unwrap(), &new_cluster(&ids), &targets).unwrap();
    for (node, target) in targets {
        let found = inspect(&target).unwrap();
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert_eq!(found.state.unwrap().hash, made.state_hash);
        let config = StoreConfig { data_dir: target, cluster: "test".to_owned(), node };
        let restored = Store::open(&config).unwrap();
        assert_eq!(restored.owner.identity().cluster_id, 0xbeef);
        let state = restored.machine.state().read();
        assert_eq!(state.fleet.host_count(), 6);
        assert_eq!(state.membership.retired, [3, 9], "ids of the old cluster are not given to others");
        assert!(state.rev() > 1 << 32, "positions of the old cluster are not used again");
        assert!(state.fleet.next_grant() > 1 << 32, "fences of the old cluster are not used again");
        assert_eq!((restored.log.last(), restored.log.purged()), (state.applied, state.applied));
    }
}

#[tokio::test]
async fn a_bad_backup_or_a_used_directory_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (old, file) = (dir.path().join("old"), dir.path().join("backup"));
    back_up(&survivor(&old, 20), &file).await;
    let whole = fs::read(&file).unwrap();
    let open_as = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        Backup::open(&file)
    };
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        assert!(open_as(&damaged).is_err(), "byte {at}");
    }
    for end in (0..whole.len()).step_by(7) {
        assert!(open_as(&whole[..end]).is_err(), "cut at {end}");
    }
    assert!(matches!(open_as(&[&whole[..], b"x"].concat()), Err(BackupError::Damaged { .. })));
    assert!(matches!(open_as(b"a text of somebody else"), Err(BackupError::Foreign { .. })));
    let targets = [(1, dir.path().join("one")), (2, dir.path().join("two"))];
    fs::create_dir(&targets[1].1).unwrap();
    fs::write(targets[1].1.join("note"), "mine").unwrap();
    let refused = restore(open_as(&whole).unwrap(), &new_cluster(&[1, 2]), &targets);
    assert!(matches!(refused, Err(RestoreError::NotEmpty { .. })), "{refused:?}");
    assert!(!targets[0].1.exists(), "one directory was made though the other is refused");
    let refused = restore(open_as(&whole).unwrap(), &new_cluster(&[1]), &targets);
    assert!(matches!(refused, Err(RestoreError::Members { .. })), "{refused:?}");
}

#[test]
fn a_directory_that_was_half_restored_is_not_taken_by_a_server() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("db")).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Unusable { .. })));
}

#[test]
fn a_survivor_becomes_a_cluster_of_one_and_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let store = survivor(&old, 7);
    assert!(matches!(recover::look(&old), Err(RecoverError::InUse { .. })));
    drop(store);
    let before = files(&old);
    let seen = recover::look(&old).unwrap();
    assert_eq!((seen.last, seen.to_apply), (LogPos::new(2, 1, 7), 1));
    assert_eq!(seen.membership.members.len(), 3);
    assert_eq!(seen.log_is_broken, None);
    recover::recover(&old, &new_cluster(&[1]), &new).unwrap();
    assert_eq!(files(&old), before);
    let store = open(&new).unwrap();
    let state = store.machine.state().read();
    assert_eq!(state.fleet.host_count(), 7, "the whole log is in it, also what is not known to be committed");
    assert_eq!(state.membership.members, [member(1)]);
    assert_eq!(state.membership.retired, [2, 3, 9]);
    assert_ne!(store.owner.identity().cluster_id, OLD);
    drop(state);
    let again = recover::recover(&old, &new_cluster(&[1]), &new);
    assert!(matches!(again, Err(RecoverError::Restore(RestoreError::NotEmpty { .. }))), "{again:?}");
}

#[test]
fn a_node_that_was_never_a_member_is_no_survivor() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    assert!(matches!(recover::look(dir.path()), Err(RecoverError::NoMember { .. })));
}
