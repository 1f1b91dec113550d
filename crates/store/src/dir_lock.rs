//! One server a data directory: `data_dir/lock`, locked for as long as the store is open.
//!
//! RocksDB has a lock of its own, which those who only read do not ask for. This one tells them that somebody writes.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use crate::{error::OpenError, error::StoreError};

pub(crate) const FILE: &str = "lock";

/// Held while it lives; gone with the process.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let unusable = |error| {
            let why = StoreError::io("lock", &path)(error).to_string();
            OpenError::Unusable { dir: dir.to_owned(), why }
        };
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// True while somebody has the directory open. Leaves no trace.
    pub(crate) fn is_taken(dir: &Path) -> bool {
        File::open(dir.join(FILE)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!DirLock::is_taken(dir.path()));
        let lock = DirLock::take(dir.path()).unwrap();
        assert!(DirLock::is_taken(dir.path()));
        assert!(matches!(DirLock::take(dir.path()), Err(OpenError::Locked { .. })));
        drop(lock);
        assert!(!DirLock::is_taken(dir.path()));
        DirLock::take(dir.path()).unwrap();
    }
}
