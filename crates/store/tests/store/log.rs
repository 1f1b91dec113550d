//! The log and the vote: what is durable, in which order it is reported, and what a restart refuses.

use std::{
    fs,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::Poll,
};

use crate::support::{append, blank, done, open, register};
use gantry_store::{LogPos, OpenError, ReadLimit, Store, StoreError, Vote};

const VOTE: Vote = Vote { term: 3, node: 2, committed: true };

fn indexes(store: &Store, range: std::ops::Range<u64>) -> Vec<u64> {
    store.log.read(range, ReadLimit::NONE).unwrap().iter().map(|entry| entry.pos.index).collect()
}

fn save_vote(store: &Store, vote: Vote) {
    let (done, wait) = done();
    store.log.save_vote(vote, done);
    wait();
}

#[test]
fn entries_and_vote_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    save_vote(&store, VOTE);
    append(&store, (0..5).map(|index| register(3, index)).collect());
    store.log.save_committed(Some(LogPos::new(3, 1, 3)));
    append(&store, vec![blank(3, 5)]);
    let before = store.log.read(0..9, ReadLimit::NONE).unwrap();
    drop(store);

    let store = open(dir.path()).unwrap();
    assert_eq!(store.log.vote(), Some(VOTE));
    assert_eq!(store.log.committed(), Some(LogPos::new(3, 1, 3)));
    assert_eq!(store.log.last(), Some(LogPos::new(3, 1, 5)));
    assert!(!store.log.is_in_memory(&(0..1)), "the tail begins empty");
    assert_eq!(store.log.read(0..9, ReadLimit::NONE).unwrap(), before);
    append(&store, vec![blank(3, 6)]);
    assert_eq!(indexes(&store, 3..9), [3, 4, 5, 6], "read from disk and memory without a seam");
}

/// What a killed process leaves behind: the files as they are, with nothing closed and nothing flushed.
#[test]
fn what_was_reported_is_in_the_files() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path()).unwrap();
    for index in 0..20 {
        append(&store, vec![register(3, index)]);
        save_vote(&store, Vote { term: index, ..VOTE });
    }
    let copy = killed.path().join("data");
    copy_dir(dir.path(), &copy);
    let left = open(&copy).unwrap();
    assert_eq!((left.log.last(), left.log.vote()), (store.log.last(), Some(Vote { term: 19, ..VOTE })));
    assert_eq!(left.log.read(0..99, ReadLimit::NONE).unwrap(), store.log.read(0..99, ReadLimit::NONE).unwrap());
}

/// The vote that is found where the process was killed.
fn vote_left(in_dir: &Path) -> Option<Vote> {
    let killed = tempfile::tempdir().unwrap();
    let copy = killed.path().join("data");
    copy_dir(in_dir, &copy);
    open(&copy).unwrap().log.vote()
}

#[tokio::test]
async fn a_vote_that_was_expected_is_durable_before_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    save_vote(&store, VOTE);
    let next = Vote { term: 4, node: 3, committed: false };
    store.log.expect_vote(next);
    store.log.settled().await.unwrap();
    assert_eq!(store.log.vote(), Some(VOTE), "nobody is told of it");
    assert_eq!(vote_left(dir.path()), Some(next));
    save_vote(&store, next);
    assert_eq!((store.log.vote(), vote_left(dir.path())), (Some(next), Some(next)));
    append(&store, vec![blank(4, 0)]);
    assert_eq!(vote_left(dir.path()), Some(next), "it was asked for, so nothing takes it back");
}

#[tokio::test]
async fn a_vote_that_was_expected_in_vain_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.log.expect_vote(Vote { term: 1, node: 9, committed: false });
    append(&store, vec![blank(3, 0)]);
    assert_eq!(vote_left(dir.path()), None);
    save_vote(&store, VOTE);
    store.log.expect_vote(Vote { term: 4, node: 3, committed: false });
    append(&store, vec![blank(3, 1)]);
    assert_eq!(vote_left(dir.path()), Some(VOTE));
    store.log.expect_vote(Vote { term: 4, node: 3, committed: false });
    let other = Vote { term: 4, node: 2, committed: true };
    save_vote(&store, other);
    assert_eq!(vote_left(dir.path()), Some(other), "another one was asked for");
    store.log.expect_vote(VOTE);
    store.log.settled().await.unwrap();
    assert_eq!(vote_left(dir.path()), Some(other), "an old one is not expected any more");
}

#[tokio::test]
async fn a_vote_that_was_only_expected_does_not_outlive_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    save_vote(&store, VOTE);
    store.log.expect_vote(Vote { term: 4, node: 3, committed: false });
    store.log.settled().await.unwrap();
    drop(store);
    assert_eq!(open(dir.path()).unwrap().log.vote(), Some(VOTE));
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

#[test]
fn callbacks_of_a_group_come_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for index in 0..500 {
        let order = Arc::clone(&order);
        store.log.append(vec![blank(1, index)], Box::new(move |_| order.lock().unwrap().push(index)));
    }
    // The last handle waits for the writer.
    drop(store);
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 500, "every append is reported");
    // Descending inside a group; a new group begins above everything reported before.
    let mut highest = None;
    for pair in order.windows(2) {
        highest = highest.max(Some(pair[0]));
        assert!(pair[1] < pair[0] || Some(pair[1]) > highest, "{} after {}", pair[1], pair[0]);
    }
    let groups = 1 + order.windows(2).filter(|pair| pair[1] > pair[0]).count();
    assert!(groups < 250, "{groups} syncs for 500 appends: they are not grouped");
}

#[test]
fn a_cut_log_stays_cut_and_grows_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, (0..10).map(|index| blank(1, index)).collect());
    store.log.truncate_after(Some(LogPos::new(1, 1, 6)));
    assert_eq!(indexes(&store, 0..99), (0..=6).collect::<Vec<_>>());
    append(&store, vec![blank(2, 7)]);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.log.last(), Some(LogPos::new(2, 1, 7)));
    store.log.truncate_after(None);
    append(&store, vec![blank(3, 0)]);
    drop(store);
    assert_eq!(indexes(&open(dir.path()).unwrap(), 0..99), [0]);
}

#[test]
fn a_purged_log_keeps_its_rest_and_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    append(&store, (0..100).map(|index| register(1, index)).collect());
    store.machine.apply(&store.log.read(0..100, ReadLimit::NONE).unwrap()).unwrap();
    store.log.purge(LogPos::new(1, 1, 59));
    assert_eq!((store.log.size().0, store.log.purge_point(10, u64::MAX)), (40, 89));
    append(&store, vec![blank(1, 100)]);
    drop(store);
    let mut store = open(dir.path()).unwrap();
    assert_eq!(store.log.purged(), Some(LogPos::new(1, 1, 59)));
    assert_eq!(indexes(&store, 0..63), [60, 61, 62]);
    // A snapshot ahead of the log: everything goes, and the log continues after it.
    store.machine.apply(&[blank(2, 300)]).unwrap();
    store.log.purge(LogPos::new(2, 1, 300));
    assert_eq!(store.log.last(), Some(LogPos::new(2, 1, 300)));
    append(&store, vec![blank(2, 301)]);
    drop(store);
    assert_eq!(indexes(&open(dir.path()).unwrap(), 0..999), [301]);
}

#[test]
fn entries_that_leave_a_gap_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, (0..5).map(|index| register(1, index)).collect());
    for indexes in [&[6][..], &[4], &[5, 7], &[5, 5], &[u64::MAX]] {
        let (told, refused) = mpsc::channel();
        let entries = indexes.iter().map(|index| blank(1, *index)).collect();
        store.log.append(entries, Box::new(move |result| told.send(result).unwrap()));
        let error = refused.recv().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Gap { .. }), "{indexes:?}: {error}");
        assert_eq!(store.log.last(), Some(LogPos::new(1, 1, 4)), "{indexes:?}");
    }
    append(&store, vec![blank(1, 5)]);
    drop(store);
    assert_eq!(indexes(&open(dir.path()).unwrap(), 0..99), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_read_is_limited_but_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, (0..50).map(|index| register(1, index)).collect());
    let check = |store: &Store| {
        assert_eq!(store.log.read(0..50, ReadLimit::new(7, usize::MAX)).unwrap().len(), 7);
        assert_eq!(store.log.read(0..50, ReadLimit::new(50, 1)).unwrap().len(), 1);
    };
    check(&store);
    drop(store);
    check(&open(dir.path()).unwrap());
}

#[test]
fn a_log_that_lost_its_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, (0..10).map(|index| blank(1, index)).collect());
    drop(store);
    edit_log(dir.path(), |db, cf| db.delete_cf(cf, 9_u64.to_be_bytes()).unwrap());
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::LogShort { .. }), "{error}");
    assert!(error.to_string().contains("ends at index 8") && !error.to_string().contains('\n'), "{error}");
}

#[test]
fn a_damaged_or_misplaced_entry_is_refused() {
    let flip = |value: &mut Vec<u8>| value[3] ^= 1;
    for (name, damage) in [("flipped bit", Some(flip)), ("another entry's record", None)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        append(&store, (0..10).map(|index| register(1, index)).collect());
        drop(store);
        edit_log(dir.path(), |db, cf| {
            let mut value = db.get_cf(cf, if damage.is_some() { 4_u64 } else { 5 }.to_be_bytes()).unwrap().unwrap();
            if let Some(damage) = damage {
                damage(&mut value);
            }
            db.put_cf(cf, 4_u64.to_be_bytes(), value).unwrap();
        });
        let error = open(dir.path()).unwrap_err();
        let unreadable = matches!(&error, OpenError::Unreadable { source: StoreError::Damaged { .. }, .. });
        assert!(unreadable && error.to_string().contains("log entry 4"), "{name}: {error}");
    }
}

#[test]
fn a_missing_entry_in_the_middle_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, (0..10).map(|index| blank(1, index)).collect());
    drop(store);
    edit_log(dir.path(), |db, cf| db.delete_cf(cf, 4_u64.to_be_bytes()).unwrap());
    assert!(open(dir.path()).unwrap_err().to_string().contains("log entry 5 is damaged"));
}

/// The writer does nothing else until what this returns is dropped.
fn hold_writer(store: &Store) -> mpsc::Sender<()> {
    let ((is_held, held), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let done = move |_| {
        is_held.send(()).unwrap();
        let _ = released.recv();
    };
    store.log.save_vote(VOTE, Box::new(done));
    held.recv().unwrap();
    release
}

async fn is_pending(mut future: Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn what_takes_the_place_of_other_entries_is_written_only_when_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, (0..10).map(|index| blank(1, index)).collect());
    store.log.written(LogPos::new(1, 1, 9)).await.unwrap();
    let held = hold_writer(&store);
    store.log.truncate_after(Some(LogPos::new(1, 1, 4)));
    let (done, wait) = done();
    store.log.append(vec![blank(2, 5), blank(2, 6)], done);
    let mut written = std::pin::pin!(store.log.written(LogPos::new(2, 1, 6)));
    assert!(is_pending(written.as_mut()).await, "entry 6 of the leader before it was written, not this one");
    drop(held);
    wait();
    written.await.unwrap();
}

#[tokio::test]
async fn what_was_asked_for_is_durable_once_the_log_has_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    append(&store, (0..10).map(|index| blank(1, index)).collect());
    let held = hold_writer(&store);
    store.log.truncate_after(Some(LogPos::new(1, 1, 4)));
    let mut settled = std::pin::pin!(store.log.settled());
    assert!(is_pending(settled.as_mut()).await);
    drop(held);
    settled.await.unwrap();
    let killed = tempfile::tempdir().unwrap();
    let copy = killed.path().join("data");
    copy_dir(dir.path(), &copy);
    assert_eq!(open(&copy).unwrap().log.last(), Some(LogPos::new(1, 1, 4)));
}

#[test]
fn a_member_without_its_mark_is_refused_as_one_that_lost_data() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 3] = [
        ("gone", |mark| fs::remove_file(mark).unwrap()),
        ("empty", |mark| fs::write(mark, []).unwrap()),
        ("unreadable", |mark| fs::write(mark, [0xff; 8_192]).unwrap()),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        append(&store, vec![blank(1, 0)]);
        drop(store);
        damage(&dir.path().join("mark"));
        // Of no cluster yet: there is nothing that it could have forgotten.
        let store = open(dir.path()).unwrap();
        assert!(store.owner.join(7).unwrap());
        drop(store);
        drop(open(dir.path()).unwrap());
        damage(&dir.path().join("mark"));
        let error = open(dir.path()).unwrap_err();
        assert!(error.is_lost_data() && error.to_string().contains("the mark of the log"), "{name}: {error}");
    }
}

#[test]
fn a_mark_that_cannot_be_read_is_told_and_nothing_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("mark")).unwrap();
    fs::create_dir(dir.path().join("mark")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(!error.is_lost_data() && error.to_string().contains("mark"), "{error}");
}

#[test]
fn a_log_and_a_state_that_contradict_each_other_are_refused() {
    let refused = |make: fn(&mut Store)| {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).unwrap();
        make(&mut store);
        drop(store);
        let error = open(dir.path()).unwrap_err();
        assert!(error.is_lost_data(), "{error}");
        error.to_string()
    };
    let why = refused(|store| {
        append(store, (0..3).map(|index| register(1, index)).collect());
        store.machine.apply(&store.log.read(0..3, ReadLimit::NONE).unwrap()).unwrap();
        store.log.truncate_after(Some(LogPos::new(1, 1, 0)));
        append(store, vec![register(2, 1), register(2, 2)]);
    });
    assert!(why.contains("it ends at index 2 of term 1") && why.contains("has index 2 of term 2"), "{why}");
    let why = refused(|store| {
        append(store, (0..9).map(|index| register(1, index)).collect());
        store.machine.apply(&store.log.read(0..3, ReadLimit::NONE).unwrap()).unwrap();
        store.log.purge(LogPos::new(1, 1, 5));
    });
    assert!(why.contains("it ends at index 2") && why.contains("begins after index 5"), "{why}");
    let why = refused(|store| append(store, vec![blank(2, 0), blank(1, 1)]));
    assert!(why.contains("log entry at index 1 of term 1") && why.contains("comes after index 0 of term 2"), "{why}");
}

#[test]
fn the_last_of_many_handles_ends_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..50 {
        let store = open(dir.path()).unwrap();
        let handles: Vec<_> = (0..4).map(|_| store.log.clone()).collect();
        let dropping: Vec<_> = handles.into_iter().map(|log| std::thread::spawn(move || drop(log))).collect();
        drop(store);
        dropping.into_iter().for_each(|dropping| dropping.join().unwrap());
        // Whoever dropped the last one has waited for the writer, so the directory is free for the next.
    }
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Locked { .. }), "{error}");
}

#[test]
fn an_unusable_directory_is_named_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file).unwrap_err().to_string();
    assert!(error.contains(&*file.to_string_lossy()) && !error.contains('\n'), "{error}");
}

/// Changes the log behind the store's back.
fn edit_log(dir: &Path, edit: impl FnOnce(&rocksdb::DB, &rocksdb::ColumnFamily)) {
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.join("db"), ["log", "state", "meta"]).unwrap();
    edit(&db, db.cf_handle("log").unwrap());
}
