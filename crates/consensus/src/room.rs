//! Whether there is room for more: on this node's disk, and on those of enough others.
//!
//! A leader without room lets another voter lead that has some. Where there is none, or where so many voters are without room
//! that a quorum would soon not be able to write, it takes nothing on that makes the state larger. A few full followers change
//! nothing: the others are a quorum without them.

use std::{path::Path, time::Duration};

use gantry_store::{OpenError, Room, RoomRules, RoomSeen, RoomWatch, StoreError, watch};
use openraft::ServerState;
use tokio::time::Instant;

use crate::{
    disks::Disks,
    error::StartError,
    raft_types::{Raft, Types},
    status::metrics,
};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So long a leader without room takes calls on while it looks for another one to lead.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);
/// A node that waits for room to start in says so this often.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Why a leader takes nothing on that makes the state larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is full, and what to do about it.
    pub why: String,
    /// Not even what makes it smaller: the next write may fail.
    pub is_complete: bool,
}

/// Looks at the disk for as long as the node runs.
pub(crate) struct RoomTask {
    pub(crate) watch: RoomWatch,
    pub(crate) seen: watch::Sender<RoomSeen>,
    pub(crate) shortage: watch::Sender<Option<Shortage>>,
    pub(crate) raft: Raft,
    pub(crate) disks: Disks,
}

impl RoomTask {
    pub(crate) async fn run(self) {
        let Self { mut watch, seen, shortage, raft, disks } = self;
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut low_since = None;
        loop {
            timer.tick().await;
            // Files are made and deleted in it.
            let workers = watch.workers();
            let Ok((looked, back)) = workers.run(move || (watch.look(), watch)).await else { return };
            watch = back;
            match looked {
                Ok(looked) => note(&seen, looked),
                Err(error) => tracing::warn!(%error, "it cannot be found out how much room the disk has"),
            }
            let own = *seen.borrow();
            low_since = (own.room != Room::Enough).then(|| low_since.unwrap_or_else(Instant::now));
            let low_for = low_since.map_or(Duration::ZERO, |since| since.elapsed());
            let next = shortage_of(&metrics(&raft), own, low_for, |id| disks.of(id).is_some_and(|disk| disk.full));
            shortage.send_if_modified(|shortage| {
                let changed = *shortage != next;
                *shortage = next;
                changed
            });
        }
    }
}

fn note(seen: &watch::Sender<RoomSeen>, looked: RoomSeen) {
    let was = seen.send_replace(looked);
    if was.room == looked.room {
        return;
    }
    let RoomSeen { free_bytes, refuse_below_bytes, .. } = looked;
    match looked.room {
        Room::Enough => tracing::info!(free_bytes, "there is room on the disk again"),
        Room::Low => tracing::warn!(free_bytes, refuse_below_bytes, "there is little room left on the disk"),
        Room::Out => tracing::error!(free_bytes, "there is no room left on the disk, and no reserve"),
    }
}

/// What a leader with this disk, and voters of which some are full, is short of.
fn shortage_of(
    seen: &openraft::RaftMetrics<Types>,
    own: RoomSeen,
    low_for: Duration,
    is_full: impl Fn(u64) -> bool,
) -> Option<Shortage> {
    if seen.state != ServerState::Leader {
        return None;
    }
    let voters: Vec<u64> = seen.membership_config.voter_ids().collect();
    let full: Vec<u64> = voters.iter().copied().filter(|id| *id != seen.id && is_full(*id)).collect();
    shortage(seen.id, voters.len(), &full, own, low_for)
}

/// Node `me` leads so many voters, of which `full` others are full.
fn shortage(me: u64, voters: usize, full: &[u64], own: RoomSeen, low_for: Duration) -> Option<Shortage> {
    let others_with_room = voters.saturating_sub(1 + full.len());
    if own.room != Room::Enough {
        if others_with_room > 0 && low_for < HAND_OVER_WITHIN && own.room != Room::Out {
            return None;
        }
        let (free, want) = (own.free_bytes >> 20, own.refuse_below_bytes >> 20);
        let why = format!("the disk of node {me}, which leads, has {free} MiB free of the {want} that it needs");
        return Some(Shortage { why, is_complete: own.room == Room::Out });
    }
    let quorum = voters / 2 + 1;
    (others_with_room + 1 < quorum).then(|| {
        let ids: Vec<String> = full.iter().map(u64::to_string).collect();
        let why = format!("the disks of nodes {} are full, and the others are no quorum", ids.join(", "));
        Shortage { why, is_complete: false }
    })
}

/// Waits until there is room to open a data directory in; a reserve in it is given up first.
pub async fn wait_for_room(dir: &Path, rules: RoomRules) -> Result<(), StartError> {
    let unusable = |error: StoreError| OpenError::Unusable { dir: dir.to_owned(), why: error.to_string() };
    let mut watch = RoomWatch::open(dir, rules).map_err(unusable)?;
    let mut said = None;
    loop {
        let RoomSeen { room, free_bytes, .. } = watch.look_before_start().map_err(unusable)?;
        if room != Room::Out {
            return Ok(());
        }
        if said.is_none_or(|said: Instant| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            tracing::error!(dir = %dir.display(), free_bytes, "the disk is full: this node starts once there is room on it");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_quorum_cannot_take_is_refused() {
        let seen = |room| RoomSeen { room, free_bytes: 3 << 20, refuse_below_bytes: 9 << 20 };
        let (enough, low, out) = (seen(Room::Enough), seen(Room::Low), seen(Room::Out));
        let late = HAND_OVER_WITHIN;
        assert_eq!(shortage(1, 3, &[], enough, Duration::ZERO), None);
        assert_eq!(shortage(1, 3, &[2], enough, late), None, "two others are a quorum");
        let two = shortage(1, 3, &[2, 3], enough, late).unwrap();
        assert!(!two.is_complete && two.why.contains("nodes 2, 3"), "{two:?}");
        assert_eq!(shortage(1, 5, &[2, 3], enough, late), None);
        assert_eq!(shortage(1, 3, &[2], low, Duration::ZERO), None, "node 3 is about to lead");
        let own = shortage(1, 3, &[2], low, late).unwrap();
        assert!(!own.is_complete && own.why.contains("node 1") && own.why.contains("3 MiB free of the 9"), "{own:?}");
        assert!(!shortage(1, 3, &[2, 3], low, Duration::ZERO).unwrap().is_complete, "nobody can take over");
        assert!(shortage(1, 1, &[], out, late).unwrap().is_complete);
    }
}
