//! How much fits on a file system.

use std::{io, path::Path};

use rustix::fs::{stat, statvfs};
use serde::Serialize;

/// What a file system has room for, whoever uses it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Which file system.
    pub device: u64,
    /// Without what is kept for the system's own use.
    pub usable_bytes: u64,
}

/// Of the file system that a directory is on.
pub(super) fn room(dir: &Path) -> io::Result<Room> {
    let whole = statvfs(dir)?;
    let kept = whole.f_bfree.saturating_sub(whole.f_bavail);
    let usable_bytes = whole.f_blocks.saturating_sub(kept).saturating_mul(whole.f_frsize);
    Ok(Room { device: stat(dir)?.st_dev, usable_bytes })
}

/// Bytes for volumes and for images. One file system is shared half and half.
pub(super) fn shares(volumes: Option<Room>, cache: Option<Room>) -> (u64, u64) {
    match (volumes, cache) {
        (Some(volumes), Some(cache)) if volumes.device == cache.device => {
            (volumes.usable_bytes / 2, cache.usable_bytes / 2)
        }
        _ => (volumes.map_or(0, |room| room.usable_bytes), cache.map_or(0, |room| room.usable_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_system_is_not_promised_twice() {
        let room = |device| Some(Room { device, usable_bytes: 100 });
        assert_eq!(shares(room(1), room(2)), (100, 100));
        assert_eq!(shares(room(1), room(1)), (50, 50));
        assert_eq!(shares(None, room(1)), (0, 100));
    }
}
