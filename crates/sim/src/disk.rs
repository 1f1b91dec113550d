//! A node's disk, which keeps what is durable apart from what is only written. A crash takes away what was not synced, or a
//! part of it.
//!
//! [`engine`] is the database on it, [`files`] are the files beside it. Both belong to one life of the node: when that ends,
//! whatever is left of it can write no more, as a process that is gone.

mod engine;
mod files;
#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc, time::Duration};

use gantry_store::{Column, Ground, StoreError, Workers, watch};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use self::{engine::Tables, files::Files};
use crate::{bug::Bug, chance::Chance};

/// Cheap to clone; all clones are one disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    chance: Chance,
    bug: Option<Bug>,
    /// Which life of the node may use it.
    life: u64,
    durable: Tables,
    written: Tables,
    /// Batches that are written and not yet durable, oldest first.
    pending: Vec<gantry_store::Batch>,
    files: Files,
    faults: Faults,
    /// Tells of each life that ends.
    lives: watch::Sender<u64>,
    /// A state was written that is ahead of the log it came from.
    inverted: Option<String>,
}

/// What is wrong with the disk.
#[derive(Debug, Default)]
struct Faults {
    /// Syncs take longer until then, each up to so long.
    slow: Option<(Instant, Duration)>,
    /// The sync after so many others fails.
    fails_after: Option<u64>,
    /// The power fails at the change after so many others.
    cut_after: Option<u64>,
    room: Room,
}

/// How much room is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    #[default]
    Enough,
    /// What is free is little.
    Low,
    /// Every write fails.
    None,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process is killed: what it had handed to the system stays.
    Killed,
    /// The power fails: what was not synced may go, all of it or a part.
    PowerCut,
}

impl SimDisk {
    pub fn new(chance: Chance, bug: Option<Bug>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            chance,
            bug,
            life: 0,
            durable: Tables::default(),
            written: Tables::default(),
            pending: Vec::new(),
            files: Files::default(),
            faults: Faults::default(),
            lives: watch::Sender::new(0),
            inverted: None,
        })))
    }

    /// A new disk for a node that has had this one; its lives are counted on.
    pub fn replaced(&self) -> Self {
        let mut inner = self.0.lock();
        let new = Self::new(inner.chance.fork(), inner.bug);
        let life = inner.life + 1;
        new.0.lock().life = life;
        new.0.lock().lives.send_replace(life);
        new
    }

    /// Begins a life: what a store stands on in it, and its number.
    pub fn begin_life(&self) -> (Ground, u64) {
        let life = self.0.lock().life;
        let held = Held { disk: self.clone(), life };
        let (engines, disk) = (Arc::new(held.clone()), Arc::new(held));
        (Ground { engines, disk, workers: Workers::Tasks }, life)
    }

    pub fn life(&self) -> u64 {
        self.0.lock().life
    }

    /// Ends the life, and says how many of the unsynced batches are left.
    pub fn end_life(&self, how: End) -> (usize, usize) {
        self.0.lock().end_life(how)
    }

    /// Changes when a life ends.
    pub fn lives(&self) -> watch::Receiver<u64> {
        self.0.lock().lives.subscribe()
    }

    /// What is durable under a key.
    pub fn durable(&self, column: Column, key: &[u8]) -> Option<bytes::Bytes> {
        self.0.lock().durable.get(column, key)
    }

    /// What is written under a key, durable or not.
    pub fn written(&self, column: Column, key: &[u8]) -> Option<bytes::Bytes> {
        self.0.lock().written.get(column, key)
    }

    pub fn be_slow(&self, until: Instant, sync_takes: Duration) {
        self.0.lock().faults.slow = Some((until, sync_takes));
    }

    pub fn fail_sync_after(&self, syncs: u64) {
        self.0.lock().faults.fails_after = Some(syncs);
    }

    /// The power fails in the middle of what the node is at: at the change of the disk after so many others.
    pub fn cut_power_after(&self, changes: u64) {
        self.0.lock().faults.cut_after = Some(changes);
    }

    /// Something that lies there for a while is not what was written any more. Says what, where anything lies there.
    pub fn rot(&self) -> Option<String> {
        let Inner { chance, durable, written, files, .. } = &mut *self.0.lock();
        if chance.permille(200) {
            return files.rot(chance);
        }
        let column = *chance.pick(&[Column::Log, Column::State, Column::Meta])?;
        let key = durable.some_old_key(column, chance)?;
        [written, durable].into_iter().for_each(|tables| tables.rot(column, &key));
        Some(format!("{column:?} {key:02x?}"))
    }

    /// What was written of a state ahead of its log.
    pub fn inverted(&self) -> Option<String> {
        self.0.lock().inverted.clone()
    }

    pub fn set_room(&self, room: Room) {
        self.0.lock().faults.room = room;
    }

    pub fn room(&self) -> Room {
        self.0.lock().faults.room
    }

    /// Nothing is wrong any more.
    pub fn heal(&self) {
        self.0.lock().faults = Faults::default();
    }
}

impl Inner {
    fn end_life(&mut self, how: End) -> (usize, usize) {
        let Self { chance, life, durable, written, pending, files, faults, lives, .. } = self;
        *life += 1;
        lives.send_replace(*life);
        // What is full stays full.
        *faults = Faults { room: faults.room, ..Faults::default() };
        // The database writes its log through a buffer of the process, so also one that is killed loses the end of it.
        let (had, kept) = (pending.len(), chance.below(pending.len() as u64 + 1) as usize);
        pending.drain(..).take(kept).for_each(|batch| durable.apply(&batch, |_, _| true));
        written.clone_from(durable);
        match how {
            End::Killed => files.settle(),
            End::PowerCut => files.power_cut(chance),
        }
        (kept, had)
    }
}

/// A disk in the hands of one life.
#[derive(Clone, Debug)]
struct Held {
    disk: SimDisk,
    life: u64,
}

impl Held {
    fn inner(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.0.lock();
        if inner.life == self.life { Ok(inner) } else { Err(gone()) }
    }

    /// As [`Self::inner`], for something that changes what is on the disk, which the power may fail before.
    fn changes(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner()?;
        match &mut inner.faults.cut_after {
            Some(0) => {
                inner.end_life(End::PowerCut);
                Err(gone())
            }
            Some(left) => {
                *left -= 1;
                Ok(inner)
            }
            None => Ok(inner),
        }
    }
}

/// Turns one bit round.
fn flip(bytes: &mut [u8], chance: &mut Chance) {
    let bit = chance.below(bytes.len() as u64 * 8);
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
}

fn gone() -> io::Error {
    io::Error::other("the process that did this is gone")
}

fn failed(doing: &'static str, error: io::Error) -> StoreError {
    StoreError::Io { doing, path: Path::new("the simulated disk").to_owned(), source: Arc::new(error) }
}
