//! What a node does for its data beside serving: it walks over it, compares it, and notes who else has it.

use gantry_store::{Log, Owner, RoomSeen, RoomWatch, Scrubber, watch};
use tokio::task::AbortHandle;

use crate::{
    changes::Changes,
    config::{CheckRules, Timing},
    disks::Disks,
    ending::Ending,
    hold::Holding,
    leading::Leading,
    raft_types::Raft,
    role::Role,
    room::{RoomTask, Shortage},
    roster, scrubbing,
    verify::{self, Verifier},
};

/// Begins all of it, to be ended with the node.
pub(crate) fn begin(
    scrubber: Scrubber,
    verifier: &Verifier,
    owner: Owner,
    role: watch::Receiver<Role>,
    rules: CheckRules,
) -> [AbortHandle; 3] {
    let Verifier { raft, ending, .. } = verifier.clone();
    [
        tokio::spawn(roster::run(raft.clone(), owner)).abort_handle(),
        tokio::spawn(scrubbing::run(scrubber, raft, ending, rules)).abort_handle(),
        tokio::spawn(verify::run(verifier.clone(), role, rules.verify_every)).abort_handle(),
    ]
}

/// What looks after a disk that fails, is slow, or is full.
pub(crate) struct DiskCare {
    log: Log,
    room: RoomWatch,
    room_seen: watch::Sender<RoomSeen>,
    pub(crate) disks: Disks,
}

impl DiskCare {
    pub(crate) fn new(log: Log, room: RoomWatch, seen: RoomSeen) -> Self {
        let (room_seen, seen) = watch::channel(seen);
        let disks = Disks::new(log.clone(), seen);
        Self { log, room, room_seen, disks }
    }

    /// Begins all of it, to be ended with the node, and says where it tells what a leader is short of.
    pub(crate) fn begin(
        self,
        raft: Raft,
        (holding, handovers): (Holding, Changes),
        timing: Timing,
        ending: Ending,
    ) -> ([AbortHandle; 3], watch::Receiver<Option<Shortage>>) {
        let Self { log, room, room_seen, disks } = self;
        let (shortage_tx, shortage) = watch::channel(None);
        let busy_for = Box::new({
            let log = log.clone();
            move || log.busy_for()
        });
        let leading = Leading { raft: raft.clone(), busy_for, disks: disks.clone(), holding, handovers, timing };
        let room = RoomTask { watch: room, seen: room_seen, shortage: shortage_tx, raft, disks };
        let tasks = [
            tokio::spawn(leading.run()).abort_handle(),
            tokio::spawn(room.run()).abort_handle(),
            tokio::spawn(ending.with_log(log)).abort_handle(),
        ];
        (tasks, shortage)
    }
}
