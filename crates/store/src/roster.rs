//! Who the other members are, as last heard: `data_dir/members`. Kept outside the database, for the day on which that cannot be
//! read and the others have to be asked.

use std::path::Path;

use crate::{
    Member, Membership,
    disk::{self, Disk, RealDisk},
    error::StoreError,
    meta,
};

const FILE: &str = "members";

pub(crate) fn note(on: &dyn Disk, dir: &Path, members: Vec<Member>) -> Result<(), StoreError> {
    disk::replace(on, &dir.join(FILE), &meta::encode(&Membership { members, ..Membership::default() }))
}

/// The members that a node has last heard of; none where that is not known.
pub fn known_members(dir: &Path) -> Vec<Member> {
    let read = disk::read(&RealDisk, &dir.join(FILE)).ok();
    let known = read.and_then(|bytes| meta::decode::<Membership>(FILE.as_bytes(), &bytes).ok());
    known.map_or_else(Vec::new, |known| known.members)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_noted_is_known_unless_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        assert!(known_members(dir.path()).is_empty());
        let members = vec![Member { id: 3, raft_addr: "a:1".to_owned(), client_addr: "a:2".to_owned() }];
        note(&RealDisk, dir.path(), members.clone()).unwrap();
        assert_eq!(known_members(dir.path()), members);
        let mut bytes = fs::read(dir.path().join(FILE)).unwrap();
        bytes[4] ^= 1;
        fs::write(dir.path().join(FILE), bytes).unwrap();
        assert!(known_members(dir.path()).is_empty());
    }
}
