//! How the members' disks are: each says it with its answers to the leader.

use std::{collections::BTreeMap, fmt, sync::Arc};

use gantry_store::{Log, Room, RoomSeen, watch};
use parking_lot::Mutex;

use crate::wire::proto::Disk;

/// This node's disk, and what the others last said of theirs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disks {
    own: Arc<dyn Fn() -> Disk + Send + Sync>,
    others: Arc<Mutex<BTreeMap<u64, Disk>>>,
}

impl fmt::Debug for Disks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disks({:?}, {:?})", self.own(), self.others.lock())
    }
}

impl Disks {
    pub(crate) fn new(log: Log, room: watch::Receiver<RoomSeen>) -> Self {
        Self::told_by(move || {
            let sync_us = log.sync_time().map_or(0, |time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
            Disk { sync_us, full: room.borrow().room != Room::Enough }
        })
    }

    pub(crate) fn told_by(own: impl Fn() -> Disk + Send + Sync + 'static) -> Self {
        Self { own: Arc::new(own), others: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn fake(own: Disk) -> Self {
        Self::told_by(move || own)
    }

    pub(crate) fn own(&self) -> Disk {
        (self.own)()
    }

    /// A member of an older version says nothing.
    pub(crate) fn note(&self, of: u64, disk: Option<Disk>) {
        if let Some(disk) = disk {
            self.others.lock().insert(of, disk);
        }
    }

    /// What a member said last, while this node led.
    pub(crate) fn of(&self, id: u64) -> Option<Disk> {
        self.others.lock().get(&id).copied()
    }
}
