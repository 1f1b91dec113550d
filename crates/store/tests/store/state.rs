//! The state and its snapshots: what a restart finds, and what another node makes of a snapshot.

use std::{fs, path::Path, sync::Arc};

use crate::support::{open, register};
use gantry_store::{LogEntry, LogPos, Member, Membership, Offered, Payload, SnapshotFile, Store, Voters};

fn membership(index: u64, ids: &[u64]) -> LogEntry {
    let pos = LogPos::new(1, 1, index);
    let members = ids.iter().map(|id| Member { id: *id, ..Member::default() }).collect();
    let configs = vec![Voters { ids: ids.to_vec() }];
    let payload = Payload::Membership(Arc::new(Membership { pos: Some(pos), configs, members, retired: vec![] }));
    LogEntry { pos, payload }
}

fn apply(store: &mut Store, range: std::ops::Range<u64>) {
    let entries: Vec<LogEntry> = range.map(|index| register(1, index)).collect();
    let applied = store.machine.apply(&entries).unwrap();
    for applied in applied.into_iter().flatten() {
        applied.outcomes.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    }
}

fn hash(store: &Store) -> u128 {
    store.machine.state().read().state_hash()
}

async fn snapshot(store: &Store) -> SnapshotFile {
    store.machine.begin_snapshot().await.unwrap().finish().await.unwrap()
}

fn snapshot_files(dir: &Path) -> usize {
    fs::read_dir(dir.join("snapshots")).unwrap().count()
}

#[test]
fn a_restart_finds_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    store.machine.apply(&[membership(0, &[1, 2, 3])]).unwrap();
    apply(&mut store, 1..40);
    store.machine.apply(&[membership(40, &[1, 2])]).unwrap();
    let before = hash(&store);
    drop(store);

    let store = open(dir.path()).unwrap();
    assert_eq!(hash(&store), before);
    let state = store.machine.state().read();
    assert_eq!((state.rev(), state.fleet.host_count(), state.last_proposal), (40, 39, (0, 0)));
    assert_eq!(state.membership.retired, [3]);
    assert_eq!(state.events.oldest(), 40, "what happened before the restart is not known any more");
    state.fleet.check().unwrap();
}

#[tokio::test]
async fn a_snapshot_is_exactly_its_position_while_apply_goes_on() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    apply(&mut store, 1..200);
    let want = hash(&store);
    let build = store.machine.begin_snapshot().await.unwrap();
    apply(&mut store, 200..400);
    let file = build.finish().await.unwrap();
    assert_eq!(file.position(), Some(LogPos::new(1, 1, 199)));

    let mut second = open(other.path()).unwrap();
    apply(&mut second, 1..5);
    second.machine.install(file)().unwrap();
    assert_eq!(hash(&second), want);
    assert_eq!(second.machine.state().read().installs, 1);
    apply(&mut second, 200..400);
    assert_eq!(hash(&second), hash(&store), "the same log after it gives the same state");
    let current = second.machine.snapshots().current().unwrap();
    assert_eq!(current.position(), Some(LogPos::new(1, 1, 199)));
    drop((second, current));

    let second = open(other.path()).unwrap();
    assert_eq!(hash(&second), hash(&store), "and is found again");
    assert!(second.machine.snapshots().current().is_some());
}

#[tokio::test]
async fn rows_that_the_snapshot_does_not_have_are_gone() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    apply(&mut store, 1..3);
    let file = snapshot(&store).await;
    let mut second = open(other.path()).unwrap();
    apply(&mut second, 1..50);
    second.machine.install(file)().unwrap();
    drop(second);
    let second = open(other.path()).unwrap();
    assert_eq!(second.machine.state().read().fleet.host_count(), 2);
    assert_eq!(hash(&second), hash(&store));
}

#[tokio::test]
async fn a_damaged_snapshot_changes_nothing() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    apply(&mut store, 1..30);
    let file = snapshot(&store).await;
    let mut second = open(other.path()).unwrap();
    apply(&mut second, 1..5);
    let before = hash(&second);

    let mut bytes = file.read_at(0, usize::MAX).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let mut receiving = second.machine.snapshots().receive(offered(&file)).unwrap();
    receiving.write(&bytes).unwrap();
    let error = receiving.finish().unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
    assert_eq!(hash(&second), before);
    assert_eq!(snapshot_files(other.path()), 0, "the damaged file is removed");
}

fn offered(file: &SnapshotFile) -> Offered {
    Offered { position: file.position(), size_bytes: file.size_bytes() }
}

#[tokio::test]
async fn a_transfer_that_was_cut_goes_on_where_it_stopped() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    apply(&mut store, 1..30);
    let file = snapshot(&store).await;
    let offered = offered(&file);
    let half = file.size_bytes() / 2;

    let second = open(other.path()).unwrap();
    let mut receiving = second.machine.snapshots().receive(offered).unwrap();
    receiving.write(&file.read_at(0, half as usize).unwrap()).unwrap();
    let busy = second.machine.snapshots().receive(offered).unwrap_err().to_string();
    assert!(busy.contains("another transfer"), "{busy}");
    drop(receiving);
    // The node ends, and starts again.
    drop(second);
    let mut second = open(other.path()).unwrap();
    assert_eq!(second.machine.snapshots().received_of(offered), half);
    let mut receiving = second.machine.snapshots().receive(offered).unwrap();
    assert_eq!(receiving.written_bytes(), half);
    receiving.write(&file.read_at(half, usize::MAX >> 1).unwrap()).unwrap();
    let received = receiving.finish().unwrap();
    second.machine.install(received)().unwrap();
    assert_eq!(hash(&second), hash(&store));
    assert_eq!(second.machine.snapshots().received_bytes(), file.size_bytes() - half);
    assert_eq!(snapshot_files(other.path()), 1, "the part has become the snapshot");
    apply(&mut second, 30..31);
}

#[tokio::test]
async fn what_is_left_of_another_snapshot_is_not_gone_on_with() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    apply(&mut store, 1..30);
    let old = snapshot(&store).await;
    apply(&mut store, 30..40);
    let new = snapshot(&store).await;
    let second = open(other.path()).unwrap();
    let snapshots = second.machine.snapshots();
    let mut receiving = snapshots.receive(offered(&old)).unwrap();
    receiving.write(&old.read_at(0, 100).unwrap()).unwrap();
    drop(receiving);
    assert_eq!(snapshots.receive(offered(&new)).unwrap().written_bytes(), 0);
    assert_eq!(snapshots.received_of(offered(&old)), 0, "only one part is kept");
    // A part that is not what it says is noticed at the end, and nothing of it is used again.
    let mut receiving = snapshots.receive(offered(&new)).unwrap();
    receiving.write(&vec![7; new.size_bytes() as usize]).unwrap();
    assert!(receiving.finish().is_err());
    assert_eq!(snapshots.received_of(offered(&new)), 0);
}

#[tokio::test]
async fn an_interrupted_installation_is_repeated() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    apply(&mut store, 1..30);
    let file = snapshot(&store).await;
    let want = hash(&store);
    let mut second = open(other.path()).unwrap();
    apply(&mut second, 1..5);
    second.machine.install(file)().unwrap();
    drop(second);
    // As after a crash half way: the note is there, half of the rows are not.
    {
        let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), other.path().join("db"), ["log", "state", "meta"])
            .unwrap();
        let (state, meta) = (db.cf_handle("state").unwrap(), db.cf_handle("meta").unwrap());
        let applied = db.get_cf(meta, b"applied").unwrap().unwrap();
        db.put_cf(meta, b"installing", applied).unwrap();
        db.delete_cf(meta, b"applied").unwrap();
        db.delete_range_cf(state, [4_u8, 0, 0, 0, 9], [5_u8, 0, 0, 0, 0]).unwrap();
    }
    let second = open(other.path()).unwrap();
    assert_eq!(hash(&second), want);
    assert_eq!(second.machine.state().read().rev(), 29);
}

#[tokio::test]
async fn the_last_two_snapshots_are_kept_and_leftovers_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    for round in 0..4 {
        apply(&mut store, 1 + round * 10..11 + round * 10);
        snapshot(&store).await;
    }
    assert_eq!(snapshot_files(dir.path()), 2);
    fs::write(dir.path().join("snapshots/7.tmp"), "half").unwrap();
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(snapshot_files(dir.path()), 2);
    assert_eq!(store.machine.snapshots().current().unwrap().position(), Some(LogPos::new(1, 1, 40)));
}

#[tokio::test]
async fn a_build_that_is_overtaken_does_not_replace_the_installed_snapshot() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut ahead = open(other.path()).unwrap();
    apply(&mut ahead, 50_000..50_003);
    let newer = snapshot(&ahead).await;
    let mut store = open(dir.path()).unwrap();
    // Many rows: writing them takes far longer than installing three.
    apply(&mut store, 1..20_000);

    let build = store.machine.begin_snapshot().await.unwrap();
    store.machine.install(newer)().unwrap();
    let built = build.finish().await.unwrap();

    let current = store.machine.snapshots().current().unwrap();
    assert_eq!(current.position(), Some(LogPos::new(1, 1, 50_002)));
    assert_eq!(built.position(), current.position());
    assert_eq!(snapshot_files(dir.path()), 1, "the overtaken file is removed");
}

#[test]
fn an_entry_of_a_newer_version_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let newer = gantry_machine::Entry { version: 99, ..gantry_machine::Entry::default() };
    let bytes: bytes::Bytes = prost::Message::encode_to_vec(&newer).into();
    let entry =
        LogEntry { pos: LogPos::new(1, 1, 1), payload: Payload::Commands(gantry_store::Commands::undecoded(bytes)) };
    let error = store.machine.apply(&[entry]).unwrap_err().to_string();
    assert!(error.contains("log entry 1 cannot be applied") && error.contains("99"), "{error}");
}

#[tokio::test]
async fn a_snapshot_takes_no_room_that_is_kept_free() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    apply(&mut store, 0..9);
    let file = snapshot(&store).await;
    apply(&mut store, 9..12);
    let snapshots = store.machine.snapshots().clone();
    snapshots.keep_free(u64::MAX / 2);
    let built = store.machine.begin_snapshot().await.unwrap().finish().await;
    let full = built.unwrap_err();
    assert!(full.is_full() && full.to_string().contains("no room for a snapshot"), "{full}");
    assert_eq!(snapshot_files(dir.path()), 1, "nothing of it is left");
    assert_eq!(snapshots.current().unwrap().position(), file.position(), "the one before it still counts");
    snapshots.keep_free(0);
    let later = store.machine.snapshot_source().begin().await.unwrap().finish().await.unwrap();
    assert!(later.position() > file.position());

    let second = open(other.path()).unwrap();
    let snapshots = second.machine.snapshots();
    snapshots.receive(offered(&file)).unwrap().write(b"some").unwrap();
    snapshots.keep_free(u64::MAX / 2);
    let full = snapshots.receive(offered(&file)).unwrap_err();
    assert!(full.is_full(), "{full}");
    assert_eq!(snapshot_files(other.path()), 0, "what came before takes room for nothing");
    snapshots.keep_free(0);
    assert_eq!(snapshots.receive(offered(&file)).unwrap().written_bytes(), 0);
    let source = store.machine.snapshot_source();
    drop((store, later, file));
    assert!(source.begin().await.is_err(), "it keeps no database open");
}
