//! What a node keeps of data that it must not use any more.
//!
//! - `data_dir/diverged`: other replicas came to another state at the same position. While it is there the directory is not
//!   opened: what is in it is evidence.
//! - `data_dir/set-aside`: the data of the node's life before, whole. The one before that goes when the next comes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Identity,
    dir_lock::DirLock,
    disk::{self, Disk, RealDisk},
    engine,
    error::OpenError,
    error::StoreError,
    ground::Ground,
    identity,
    log::mark::{self, Mark},
    snapshot,
};

const DIVERGED: &str = "diverged";
const SET_ASIDE: &str = "set-aside";
/// The identity of the node's next life, while the data of the last one is moved.
const NEXT: &str = "identity.next";
/// An operator wants the node to come back with its peers' data.
const WANTED: &str = "rebuild";

/// Notes that this node's data differs from that of its peers; durable when it returns.
pub(crate) fn note_diverged(on: &dyn Disk, dir: &Path, why: &str) -> Result<(), StoreError> {
    disk::replace(on, &dir.join(DIVERGED), format!("{}\n", why.replace('\n', " ")).as_bytes())
}

/// Asks for a node with this directory to come back with its peers' data: its next start sets the data aside.
pub fn want_rebuild(dir: &Path) -> Result<(), OpenError> {
    if Identity::read(dir)?.is_none_or(|identity| identity.cluster_id == 0) {
        let why = "it holds no member of a cluster".to_owned();
        return Err(OpenError::Unusable { dir: dir.to_owned(), why });
    }
    if DirLock::is_taken(dir) {
        return Err(OpenError::Locked { dir: dir.to_owned() });
    }
    let wanted = disk::replace(&RealDisk, &dir.join(WANTED), b"asked for by an operator\n");
    wanted.map_err(|error| OpenError::Unusable { dir: dir.to_owned(), why: error.to_string() })
}

/// Refuses a directory whose data is not to be used.
pub(crate) fn refuse(on: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    if on.exists(&dir.join(WANTED)) {
        return Err(OpenError::RebuildWanted { dir: dir.to_owned() });
    }
    match disk::read_text(on, &dir.join(DIVERGED)) {
        Ok(why) => Err(OpenError::Diverged { dir: dir.to_owned(), why: why.trim().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::Unusable { dir: dir.to_owned(), why: format!("{DIVERGED}: {error}") }),
    }
}

/// Moves the data of `dir` out of the way, whole, and makes it the empty directory of `next`. After a crash in between it is
/// either as it was or goes on where it was when the directory is opened next.
pub fn set_aside(dir: &Path, next: &Identity) -> Result<PathBuf, StoreError> {
    let aside = dir.join(SET_ASIDE);
    if !dir.join(NEXT).exists() {
        remove(&aside)?;
        disk::create_dir(&RealDisk, &aside)?;
        if let Ok(Some(identity)) = Identity::read(dir) {
            identity.save(&RealDisk, &aside)?;
        }
        // From here on the old data is no longer this directory's.
        next.save_as(&RealDisk, &dir.join(NEXT))?;
    }
    finish_set_aside(dir)?;
    Ok(aside)
}

/// Goes on with what a crash interrupted.
pub(crate) fn finish_set_aside(dir: &Path) -> Result<(), StoreError> {
    let (next, aside) = (dir.join(NEXT), dir.join(SET_ASIDE));
    if !next.exists() {
        return Ok(());
    }
    for part in [engine::DIR, snapshot::DIR, mark::FILE, DIVERGED, WANTED] {
        // Moved before the crash; a mark that is here nevertheless is that of the next life.
        if aside.join(part).exists() {
            continue;
        }
        match fs::rename(dir.join(part), aside.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("set aside", &dir.join(part))(error));
            }
            _ => {}
        }
    }
    disk::sync_dir(&RealDisk, &aside)?;
    // The next life is a member from its beginning.
    Mark::open(&Ground::default(), dir)?;
    disk::sync_dir(&RealDisk, dir)?;
    fs::rename(&next, dir.join(identity::FILE)).map_err(StoreError::io("rename", &next))?;
    disk::sync_dir(&RealDisk, dir)
}

fn remove(aside: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", aside)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u64) -> Identity {
        Identity::new("north", 7, node)
    }

    fn old_life(dir: &Path) {
        identity(3).save(&RealDisk, dir).unwrap();
        fs::create_dir(dir.join(engine::DIR)).unwrap();
        fs::write(dir.join(engine::DIR).join("row"), "old").unwrap();
        fs::write(dir.join(mark::FILE), "mark").unwrap();
        note_diverged(&RealDisk, dir, "it differs").unwrap();
    }

    #[test]
    fn the_last_life_is_kept_and_the_one_before_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        old_life(dir.path());
        assert!(matches!(refuse(&RealDisk, dir.path()), Err(OpenError::Diverged { why, .. }) if why == "it differs"));
        let aside = set_aside(dir.path(), &identity(8)).unwrap();
        refuse(&RealDisk, dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity(8)));
        assert_eq!(Identity::read(&aside).unwrap(), Some(identity(3)));
        assert_eq!(fs::read_to_string(aside.join("db/row")).unwrap(), "old");
        assert!(!dir.path().join("db").exists() && Mark::look(&RealDisk, dir.path()).unwrap().is_there());
        assert_eq!(fs::read_to_string(aside.join(mark::FILE)).unwrap(), "mark");
        fs::create_dir(dir.path().join("db")).unwrap();
        set_aside(dir.path(), &identity(9)).unwrap();
        assert_eq!(Identity::read(&aside).unwrap(), Some(identity(8)));
        assert!(!aside.join("db/row").exists());
    }

    #[test]
    fn what_a_crash_interrupted_goes_on_and_loses_no_evidence() {
        let dir = tempfile::tempdir().unwrap();
        old_life(dir.path());
        let aside = dir.path().join(SET_ASIDE);
        fs::create_dir(&aside).unwrap();
        identity(8).save_as(&RealDisk, &dir.path().join(NEXT)).unwrap();
        fs::rename(dir.path().join("db"), aside.join("db")).unwrap();
        fs::rename(dir.path().join(mark::FILE), aside.join(mark::FILE)).unwrap();
        Mark::open(&Ground::default(), dir.path()).unwrap();
        finish_set_aside(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity(8)));
        assert_eq!(fs::read_to_string(aside.join("db/row")).unwrap(), "old");
        assert_eq!(fs::read_to_string(aside.join(mark::FILE)).unwrap(), "mark");
        assert!(Mark::look(&RealDisk, dir.path()).unwrap().is_there());
    }

    #[test]
    fn a_rebuild_is_asked_for_where_there_is_a_member() {
        let dir = tempfile::tempdir().unwrap();
        assert!(want_rebuild(dir.path()).is_err());
        old_life(dir.path());
        want_rebuild(dir.path()).unwrap();
        assert!(matches!(refuse(&RealDisk, dir.path()), Err(OpenError::RebuildWanted { .. })));
    }
}
