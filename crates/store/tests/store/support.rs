//! What the tests of the store share.

use std::{path::Path, sync::mpsc, time::Duration};

use gantry_machine::{Command, ENTRY_VERSION, Entry, RegisterHost};
use gantry_store::{Commands, Done, LogEntry, LogPos, OpenError, Payload, Store, StoreConfig};
use gantry_types::HostSpec;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn open(dir: &Path) -> Result<Store, OpenError> {
    Store::open(&StoreConfig { data_dir: dir.to_owned(), cluster: "test".to_owned(), node: 1 })
}

pub fn blank(term: u64, index: u64) -> LogEntry {
    LogEntry { pos: LogPos::new(term, 1, index), payload: Payload::Blank }
}

/// An entry that registers a host of its own.
pub fn register(term: u64, index: u64) -> LogEntry {
    let spec = HostSpec {
        name: format!("host-{index}"),
        region: "ord".to_owned(),
        zone: "ord-1".to_owned(),
        memory_bytes: 1 << 30,
        cpu_shared_milli: 8_000,
        ..HostSpec::default()
    };
    let commands = vec![Command::from(RegisterHost { spec })];
    let entry = Entry { version: ENTRY_VERSION, stamp: 1_000 + index, proposer: 9, proposal: index, commands };
    LogEntry { pos: LogPos::new(term, 1, index), payload: Payload::Commands(Commands::from(entry)) }
}

/// A callback, and a wait for it.
pub fn done() -> (Done, impl FnOnce()) {
    let (told, wait) = mpsc::channel();
    let done: Done = Box::new(move |result| told.send(result).unwrap());
    (done, move || wait.recv_timeout(PATIENCE).expect("the write was not reported").expect("the write failed"))
}

/// Appends entries and waits until they are durable.
pub fn append(store: &Store, entries: Vec<LogEntry>) {
    let (done, wait) = done();
    store.log.append(entries, done);
    wait();
}
