//! How a node takes part, and the timing of all of them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use gantry_store::{Ground, Member, RoomRules};
use openraft::SnapshotPolicy;

use crate::{
    network::{Tcp, Transport},
    scrubbing::SCRUB_EVERY,
};

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: u64,
    /// The operator's name for the cluster. A directory, or a caller, of another name is refused.
    pub cluster: String,
    /// Where peers reach this node, `host:port`.
    pub raft_addr: String,
    /// Where clients reach this node, `host:port`.
    pub client_addr: String,
    pub data_dir: PathBuf,
    pub timing: Timing,
    pub snapshots: SnapshotRules,
    pub room: RoomRules,
    pub checks: CheckRules,
    /// What the data directory lies on, and the way to the other members: the real ones, but in a simulation.
    pub ground: Ground,
    pub transport: Arc<dyn Transport>,
}

impl Config {
    /// With the defaults for everything that is tuned rather than chosen.
    pub fn new(node_id: u64, raft_addr: impl Into<String>, client_addr: impl Into<String>, data_dir: PathBuf) -> Self {
        Self {
            node_id,
            cluster: "gantry".to_owned(),
            raft_addr: raft_addr.into(),
            client_addr: client_addr.into(),
            data_dir,
            timing: Timing::default(),
            snapshots: SnapshotRules::default(),
            room: RoomRules::default(),
            checks: CheckRules::default(),
            ground: Ground::default(),
            transport: Arc::new(Tcp),
        }
    }

    /// This node as a member.
    pub fn member(&self) -> Member {
        let Self { node_id, raft_addr, client_addr, .. } = self;
        Member { id: *node_id, raft_addr: raft_addr.clone(), client_addr: client_addr.clone() }
    }
}

/// Heartbeats and elections. The same on all members.
///
/// A follower waits for the lease (`election_max_ms` after it last heard from its leader), then for a random time between
/// the two bounds, then asks around (a round trip) and is elected (a round trip and an fsync). So a dead leader is replaced
/// after 300 to 400 ms and a little, while a live one has to be silent for 300 ms before anybody calls an election: six
/// heartbeats, or any one of the appends that a busy leader sends all the time. On two cores that two compilers and a load
/// generator kept busy besides three members, nobody called one. What does happen there is that a follower's answer, which
/// waits for its disk, takes longer than the lease: then the leader proposes nothing until it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { heartbeat_ms: 50, election_min_ms: 100, election_max_ms: 200 }
    }
}

/// When snapshots are taken and how much log is kept. A snapshot is a read of the whole state, so it is taken by what it
/// saves at a restart; the log kept behind it lets a member that was away for a while catch up without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRules {
    /// Log since the last snapshot.
    pub after_bytes: u64,
    pub after_entries: u64,
    /// As long as anything was logged at all.
    pub after_time: Duration,
    /// Log kept behind a snapshot at most.
    pub keep_bytes: u64,
    pub keep_entries: u64,
    /// How fast a snapshot is sent to another member.
    pub send_bytes_per_second: u64,
    /// How often all of this is looked at.
    pub look_every: Duration,
}

impl Default for SnapshotRules {
    fn default() -> Self {
        Self {
            after_bytes: 256 << 20,
            after_entries: 200_000,
            after_time: Duration::from_secs(60 * 60),
            keep_bytes: 128 << 20,
            keep_entries: 100_000,
            send_bytes_per_second: 32 << 20,
            look_every: Duration::from_secs(2),
        }
    }
}

/// How often a node looks after its own data, and the leader after everybody's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRules {
    /// From the end of one walk over the node's data to the next.
    pub scrub_every: Duration,
    /// What the walk reads: a small part of what a disk gives.
    pub scrub_bytes_per_second: u64,
    /// States are compared so often. A comparison is a pass over the rows of every member.
    pub verify_every: Duration,
}

impl Default for CheckRules {
    fn default() -> Self {
        Self { scrub_every: SCRUB_EVERY, scrub_bytes_per_second: 8 << 20, verify_every: Duration::from_secs(10 * 60) }
    }
}

/// Entries in one append message and in one write to the log; the reader also bounds both by bytes.
const ENTRIES_PER_APPEND: u64 = 4_096;
/// A learner this close to the leader may become a voter.
pub(crate) const CAUGHT_UP_ENTRIES: u64 = 2_000;
/// After a peer could not be reached. A member that was restarted is back within a quarter of a second.
const BACKOFF: &str = "25ms 50ms 100ms ..250ms";

/// The library's configuration.
pub(crate) fn raft_config(config: &Config) -> Result<openraft::Config, openraft::ConfigError> {
    let Timing { heartbeat_ms, election_min_ms, election_max_ms } = config.timing;
    openraft::Config {
        cluster_name: config.cluster.clone(),
        heartbeat_interval: heartbeat_ms,
        election_timeout_min: election_min_ms,
        election_timeout_max: election_max_ms,
        // Under load the answers to appends do the work of heartbeats. The library wants the sum of both intervals and a
        // tick to stay below the shortest election time.
        heartbeat_min_interval: Some(heartbeat_ms / 2),
        max_payload_entries: ENTRIES_PER_APPEND,
        max_append_entries: Some(2 * ENTRIES_PER_APPEND),
        replication_lag_threshold: CAUGHT_UP_ENTRIES,
        // Taken and purged by our own rules, see `compaction`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // A member that cannot win does not disturb those who have a leader.
        enable_pre_vote: Some(true),
        // A restarted leader is elected again: by then it knows that its state is current.
        enable_leader_restore: Some(false),
        backoff: BACKOFF.to_owned(),
        ..openraft::Config::default()
    }
    .validate()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        raft_config(&Config::new(1, "localhost:1", "localhost:2", PathBuf::new())).unwrap();
    }
}
