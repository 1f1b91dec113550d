//! Consensus: one log that all members agree on, the state that follows from it, and who the members are.
//!
//! [`Consensus`] is the whole interface: propose an entry, read a confirmed position, change the members, look. The log and
//! the state lie in the store; the library that does the agreeing is named nowhere else.
//!
//! The only crate that names openraft. Must not be in here: placement rules, anything that looks into an entry, the API
//! that clients see.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backup;
mod care;
mod changes;
mod checkpoints;
mod compaction;
mod config;
mod consensus;
mod convert;
mod disks;
mod ending;
mod error;
mod handover;
mod hold;
mod leading;
mod log_store;
mod machine;
mod membership;
mod network;
mod proposal;
mod raft_types;
mod read_index;
mod role;
mod room;
mod roster;
mod runtime;
mod scrubbing;
mod status;
#[cfg(test)]
mod suite;
mod verify;
mod wire;

pub use backup::BackupFile;
pub use config::{CheckRules, Config, SnapshotRules, Timing};
pub use consensus::{Consensus, owner_of};
pub use error::{MembershipError, ProposeError, StartError};
pub use gantry_store::{
    Applied, Commands, Compacted, EventRing, Ground, Identity, Log, LogPos, Member, Membership, OpenError, RoomRules,
    SharedState, State, StoreError, Vote, Workers, known_members, set_aside, watch,
};
pub use network::{Answering, Carrier, Link, PeerAnswer, PeerCall, Tcp, Transport};
pub use proposal::{ENTRY_BYTES, Proposal};
pub use role::Role;
pub use room::{Shortage, wait_for_room};
pub use status::{MemberStatus, Standing, Status};
pub use verify::{MemberHash, Verification};
