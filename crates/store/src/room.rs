//! How much room the disk has left, and a reserve that is given up when there is none.
//!
//! A database that cannot write can only end. So a node looks at the free bytes of its data directory's file system, says in
//! time that there is little room, and keeps a file, `data_dir/reserve`, that takes up space for nothing: it is deleted when
//! the rest is nearly gone, which gives the log, votes and compactions room to go on with, and is made again when there is
//! enough.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{Disk, Opening},
    error::StoreError,
    ground::{Ground, Workers},
};

const FILE: &str = "reserve";
/// Of a small file system no more than these parts are asked for.
const REFUSE_PART: u64 = 8;
const RESERVE_PART: u64 = 16;

/// When there is little room. On a small file system an eighth of it, and a sixteenth, are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomRules {
    /// Free bytes below which nothing is taken on that makes the state larger.
    pub refuse_below_bytes: u64,
    /// Kept in a file, and given up when the rest is nearly gone.
    pub reserve_bytes: u64,
}

impl Default for RoomRules {
    fn default() -> Self {
        Self { refuse_below_bytes: 512 << 20, reserve_bytes: 64 << 20 }
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    #[default]
    Enough,
    /// Too little to take more on. What is left, with the reserve, is for what must go on.
    Low,
    /// The reserve is used up as well: the next write may fail.
    Out,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSeen {
    pub room: Room,
    pub free_bytes: u64,
    /// Below it there is little room; where there was little, it takes a quarter more to be enough again.
    pub refuse_below_bytes: u64,
}

/// The looks at one data directory. One at a time.
#[derive(Debug)]
pub struct RoomWatch {
    disk: Arc<dyn Disk>,
    workers: Workers,
    dir: PathBuf,
    rules: RoomRules,
    room: Room,
    /// The reserve is there.
    held: bool,
}

/// What to do about the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    Leave,
    GiveUp,
    Make,
}

impl RoomWatch {
    /// Makes the directory where it is missing, and nothing in it.
    pub fn open(dir: &Path, rules: RoomRules) -> Result<Self, StoreError> {
        Self::open_on(&Ground::default(), dir, rules)
    }

    /// As [`Self::open`], on a ground of the caller's.
    pub fn open_on(ground: &Ground, dir: &Path, rules: RoomRules) -> Result<Self, StoreError> {
        let (disk, workers) = (Arc::clone(&ground.disk), ground.workers);
        disk.create_dir(dir).map_err(StoreError::io("create directory", dir))?;
        let space = disk.space(dir).map_err(StoreError::io("look at the file system of", dir))?;
        let whole = space.whole_bytes;
        let rules = RoomRules {
            refuse_below_bytes: rules.refuse_below_bytes.min(whole / REFUSE_PART),
            reserve_bytes: rules.reserve_bytes.min(whole / RESERVE_PART),
        };
        let reserve = disk.open(&dir.join(FILE), Opening::Existing).and_then(|file| file.size_bytes());
        let held = reserve.is_ok_and(|bytes| bytes >= rules.reserve_bytes);
        let room = if held { Room::Enough } else { Room::Low };
        Ok(Self { disk, workers, dir: dir.to_owned(), rules, room, held })
    }

    /// What the reserve is to take: what others leave free beside it as well.
    pub fn reserve_bytes(&self) -> u64 {
        self.rules.reserve_bytes
    }

    /// Who looks.
    pub fn workers(&self) -> Workers {
        self.workers
    }

    /// Looks, and gives the reserve up or makes it again where it is time to. Blocking.
    pub fn look(&mut self) -> Result<RoomSeen, StoreError> {
        self.act(true)
    }

    /// As [`Self::look`] before the directory is opened, when nothing may be made in it yet: it may be somebody else's.
    pub fn look_before_start(&mut self) -> Result<RoomSeen, StoreError> {
        self.act(false)
    }

    fn act(&mut self, may_make: bool) -> Result<RoomSeen, StoreError> {
        let mut free_bytes = self.free()?;
        let (room, reserve) = judge(&self.rules, self.room, self.held, free_bytes);
        self.room = room;
        match reserve {
            Reserve::Make if !may_make => {}
            Reserve::Leave => {}
            Reserve::GiveUp => {
                self.remove()?;
                self.held = false;
                free_bytes = self.free()?;
                tracing::warn!(free_bytes, "the disk is nearly full: the reserve is given up");
            }
            Reserve::Make => match self.make() {
                Ok(()) => {
                    (self.held, self.room) = (true, Room::Enough);
                    free_bytes = self.free()?;
                    tracing::info!(free_bytes, "there is a reserve on the disk");
                }
                // Somebody else took the room just now. The next look sees that.
                Err(error) => {
                    tracing::warn!(%error, "the reserve cannot be made");
                    self.remove()?;
                }
            },
        }
        Ok(RoomSeen { room: self.room, free_bytes, refuse_below_bytes: self.rules.refuse_below_bytes })
    }

    fn free(&self) -> Result<u64, StoreError> {
        let space = self.disk.space(&self.dir);
        Ok(space.map_err(StoreError::io("look at the file system of", &self.dir))?.free_bytes)
    }

    fn remove(&self) -> Result<(), StoreError> {
        let path = self.dir.join(FILE);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn make(&self) -> io::Result<()> {
        self.disk.allocate(&self.dir.join(FILE), self.rules.reserve_bytes)
    }
}

/// The rules, over what was, whether the reserve is there, and what is free beside it.
fn judge(rules: &RoomRules, was: Room, held: bool, free: u64) -> (Room, Reserve) {
    let RoomRules { refuse_below_bytes: refuse, reserve_bytes: reserve } = *rules;
    let again = refuse + refuse / 4;
    if !held {
        return match was {
            _ if free >= again + reserve => (Room::Low, Reserve::Make),
            Room::Out if free < reserve / 2 => (Room::Out, Reserve::Leave),
            _ if free < reserve / 4 => (Room::Out, Reserve::Leave),
            _ => (Room::Low, Reserve::Leave),
        };
    }
    if free < reserve / 4 {
        return (Room::Low, Reserve::GiveUp);
    }
    let enough = free >= if was == Room::Enough { refuse } else { again };
    (if enough { Room::Enough } else { Room::Low }, Reserve::Leave)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RULES: RoomRules = RoomRules { refuse_below_bytes: 800, reserve_bytes: 400 };

    #[test]
    fn the_reserve_goes_when_the_rest_is_nearly_gone_and_comes_back_when_there_is_room_for_both() {
        let steps = [
            // Free bytes, and what follows; the reserve's own 400 come and go in between.
            (2_000, Room::Enough, Reserve::Leave),
            (800, Room::Enough, Reserve::Leave),
            (799, Room::Low, Reserve::Leave),
            (999, Room::Low, Reserve::Leave),
            (1_000, Room::Enough, Reserve::Leave),
            (100, Room::Low, Reserve::Leave),
            (99, Room::Low, Reserve::GiveUp),
            (499, Room::Low, Reserve::Leave),
            (99, Room::Out, Reserve::Leave),
            (199, Room::Out, Reserve::Leave),
            (200, Room::Low, Reserve::Leave),
            (1_399, Room::Low, Reserve::Leave),
            (1_400, Room::Low, Reserve::Make),
            (1_000, Room::Enough, Reserve::Leave),
        ];
        let (mut room, mut held) = (Room::Enough, true);
        for (free, then, reserve) in steps {
            assert_eq!(judge(&RULES, room, held, free), (then, reserve), "{free} free after {room:?}, held: {held}");
            room = then;
            match reserve {
                Reserve::Leave => {}
                Reserve::GiveUp => held = false,
                Reserve::Make => held = true,
            }
        }
    }

    #[test]
    fn the_reserve_takes_the_space_that_it_stands_for() {
        let dir = tempfile::tempdir().unwrap();
        let rules = RoomRules { refuse_below_bytes: 1 << 20, reserve_bytes: 3 << 20 };
        let mut watch = RoomWatch::open(dir.path(), rules).unwrap();
        assert_eq!(watch.look().unwrap().room, Room::Enough, "a new directory on a disk with room");
        let reserve = fs::metadata(dir.path().join(FILE)).unwrap();
        assert!(std::os::unix::fs::MetadataExt::blocks(&reserve) * 512 >= 3 << 20, "{reserve:?}");
        // What is asked for grows beyond what any disk has.
        watch.rules = RoomRules { refuse_below_bytes: u64::MAX / 8, reserve_bytes: u64::MAX / 8 };
        assert_eq!(watch.look().unwrap().room, Room::Low);
        assert!(!dir.path().join(FILE).exists(), "it was kept though there is nothing else left");
        assert_eq!(watch.look().unwrap().room, Room::Out);
    }
}
