//! Hashes of the rows, and the walk that looks for damage.

use std::{fs, path::Path};

use crate::support::{append, open, register};
use gantry_store::{LogEntry, Store};

const FAST: u64 = 1 << 40;

async fn with_hosts(dir: &Path, hosts: u64) -> Store {
    let mut store = open(dir).unwrap();
    let entries: Vec<LogEntry> = (0..hosts).map(|index| register(1, index)).collect();
    append(&store, entries.clone());
    store.machine.apply(&entries).unwrap();
    store
}

#[tokio::test]
async fn the_hash_of_the_rows_is_that_of_the_state_while_apply_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = with_hosts(dir.path(), 50).await;
    let want = store.machine.state().read().state_hash();
    let hashing = store.machine.begin_hash().await.unwrap();
    let more: Vec<LogEntry> = (50..60).map(|index| register(1, index)).collect();
    append(&store, more.clone());
    store.machine.apply(&more).unwrap();
    assert_eq!(hashing.finish().await.unwrap(), (49, want));
    let later = store.machine.begin_hash().await.unwrap().finish().await.unwrap();
    assert_eq!(later, (59, store.machine.state().read().state_hash()));
}

#[tokio::test]
async fn a_walk_meets_everything_and_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_hosts(dir.path(), 600).await;
    store.machine.begin_snapshot().await.unwrap().finish().await.unwrap();
    let found = store.machine.scrubber().walk(FAST, &|| false).unwrap();
    assert_eq!((found.entries, found.snapshots), (600, 1));
    assert!(found.rows > 600 && found.damaged_snapshots.is_empty() && !found.stopped, "{found:?}");
    assert!(store.machine.scrubber().walk(FAST, &|| true).unwrap().stopped);
}

#[tokio::test]
async fn a_damaged_snapshot_is_taken_out_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_hosts(dir.path(), 30).await;
    store.machine.begin_snapshot().await.unwrap().finish().await.unwrap();
    let file = fs::read_dir(dir.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let found = store.machine.scrubber().walk(FAST, &|| false).unwrap();
    assert_eq!((found.damaged_snapshots.len(), found.snapshots), (1, 0));
    assert!(store.machine.snapshots().current().is_none(), "a damaged snapshot may be sent to a peer");
    assert_eq!(fs::read(dir.path().join("snapshots-damaged")).unwrap(), bytes);
    store.machine.begin_snapshot().await.unwrap().finish().await.unwrap();
    assert_eq!(store.machine.scrubber().walk(FAST, &|| false).unwrap().snapshots, 1);
}
