//! What a node keeps on disk: the Raft log and the vote, the replicated state, snapshots, and whose directory it is.
//!
//! One RocksDB a node, with one write-ahead log over the Raft log, the state and the meta records: after a crash all three
//! are there up to the same moment. The state also lives in memory, where it is read; its rows on disk serve restarts and
//! snapshots. Every format here is ours and has a version.
//!
//! The only crate that names RocksDB. Must not be in here: types of the consensus library, networking, placement rules,
//! retries of a failed write.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apply;
mod dir_lock;
mod disk;
mod engine;
mod error;
mod evidence;
mod family;
mod identity;
mod log;
mod meta;
pub mod offline;
mod position;
mod roster;
mod snapshot;
mod state;
mod store;
mod verify;

pub use apply::Applied;
pub use error::{OpenError, StoreError};
pub use evidence::{set_aside, want_rebuild};
pub use identity::Identity;
pub use log::{Commands, Done, Log, LogEntry, Payload, ReadLimit};
pub use position::{LogPos, Member, Membership, Vote, Voters};
pub use roster::known_members;
pub use snapshot::{Build, Receiving, SnapshotFile, Snapshots};
pub use state::{Compacted, EventRing, SharedState, State};
pub use store::{Owner, StateMachine, Store, StoreConfig};
pub use verify::{Hashing, Scrubbed, Scrubber};
