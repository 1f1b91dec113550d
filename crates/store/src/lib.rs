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
mod ground;
mod identity;
mod kv;
mod load;
mod log;
mod meta;
pub mod offline;
mod position;
mod room;
mod roster;
mod snapshot;
mod state;
mod store;
mod verify;
pub mod watch;

pub use apply::{APPLIED as APPLIED_KEY, Applied};
pub use disk::{Disk, DiskFile, Opening, RealDisk, Space};
pub use error::{OpenError, StoreError};
pub use evidence::{set_aside, want_rebuild};
pub use ground::{Ground, Workers};
pub use identity::Identity;
pub use kv::{Batch, Change, Column, Engines, KvEngine, Rows, View};
pub use log::{
    Commands, Done, Log, LogEntry, Manifest, Payload, ReadLimit, VOTE_KEY, applied_of_record, entry_of_record,
    vote_of_record,
};
pub use position::{LogPos, Member, Membership, Vote, Voters};
pub use room::{Room, RoomRules, RoomSeen, RoomWatch};
pub use roster::known_members;
pub use snapshot::{Build, Offered, Receiving, SnapshotFile, SnapshotSource, Snapshots};
pub use state::{Compacted, EventRing, SharedState, State};
pub use store::{Owner, StateMachine, Store, StoreConfig};
pub use verify::{Hashing, Scrubbed, Scrubber};
