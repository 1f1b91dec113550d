//! Makes the data directories of a new cluster out of a state.
//!
//! The new cluster is a cluster of its own: it has a new identity, so that no member of the old one can speak to it. What the
//! old cluster did after the state was taken is not known here, so nothing that it may have given out is given out again:
//! the positions, the reservations (whose numbers are the fences of their grants) and the volumes go on after a gap.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use gantry_fleet::{Fleet, Row};

use super::backup::Backup;
use crate::{
    Identity, LogPos, Member, Membership, Snapshots, Vote, Voters,
    disk::{self, RealDisk},
    engine::Engine,
    error::{OpenError, StoreError},
    ground::Ground,
    kv::{Batch, Column, KvEngine},
    log::{
        mark::Mark,
        recover::{COMMITTED, PURGED, VOTE},
    },
    meta,
    snapshot::{Content, replace_rows},
};

/// Numbers left out: more than a cluster gives out in its life, and small enough that thousands of restores fit into what
/// JSON calls a number.
const GAP: u64 = 1 << 40;

/// Why no directories were made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{why}")]
    Members { why: String },
    #[error("{} is not empty: choose a new directory", dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("{} cannot be used: {source}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the data directory cannot be written: {0}: remove what was made, and begin again")]
    Write(#[from] StoreError),
}

/// What the new cluster is.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// The operator's name for it.
    pub name: String,
    /// Unlike that of any other cluster, and not 0.
    pub id: u64,
    /// All of them voters.
    pub members: Vec<Member>,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the new cluster begins.
    pub position: LogPos,
    pub state_hash: u128,
}

/// Makes a data directory for each of `targets`, which are members of `cluster` and where their directories are to be. All of
/// them are looked at before any is made; what is made has no identity before it is whole, so that no server takes a part.
pub fn restore(backup: Backup, cluster: &NewCluster, targets: &[(u64, PathBuf)]) -> Result<Restored, RestoreError> {
    let Backup { fleet, position, membership, .. } = backup;
    make(Content { fleet, position: Some(position), membership }, cluster, targets)
}

pub(crate) fn make(
    content: Content,
    cluster: &NewCluster,
    targets: &[(u64, PathBuf)],
) -> Result<Restored, RestoreError> {
    check(cluster, targets)?;
    for (_, dir) in targets {
        ensure_empty(dir)?;
    }
    let content = begin_anew(content, cluster)?;
    let position = content.position.unwrap_or_default();
    let mut state_hash = 0;
    for (node, dir) in targets {
        state_hash = make_one(&content, position, cluster, *node, dir)?;
    }
    Ok(Restored { position, state_hash })
}

fn check(cluster: &NewCluster, targets: &[(u64, PathBuf)]) -> Result<(), RestoreError> {
    let refused = |why: String| Err(RestoreError::Members { why });
    let members = &cluster.members;
    if members.is_empty() {
        return refused("a cluster has at least one member".to_owned());
    }
    for (at, member) in members.iter().enumerate() {
        if member.id == 0 {
            return refused("node ids begin at 1".to_owned());
        }
        for other in &members[..at] {
            if other.id == member.id {
                return refused(format!("two members have the id {}", member.id));
            }
            if other.raft_addr == member.raft_addr || other.client_addr == member.client_addr {
                return refused(format!("members {} and {} have one address", other.id, member.id));
            }
        }
    }
    for (node, _) in targets {
        if !members.iter().any(|member| member.id == *node) {
            return refused(format!("node {node} is not among the members"));
        }
    }
    Ok(())
}

/// An absent directory is as good as an empty one.
fn ensure_empty(dir: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(RestoreError::NotEmpty { dir: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RestoreError::Io { dir: dir.to_owned(), source }),
    }
}

/// The state as the new cluster begins with it: after the gap, with its own members.
fn begin_anew(content: Content, cluster: &NewCluster) -> Result<Content, StoreError> {
    let old = content.position.unwrap_or_default();
    let first = cluster.members.iter().map(|member| member.id).min().unwrap_or_default();
    let position = LogPos::new(old.term + 1, first, old.index + GAP);
    let mut members = cluster.members.clone();
    members.sort_unstable_by_key(|member| member.id);
    let ids = members.iter().map(|member| member.id).collect();
    let next = Membership { pos: Some(position), configs: vec![Voters { ids }], members, retired: Vec::new() };
    let membership = content.membership.succeeded_by(&next);
    let mut fleet = Fleet::default();
    for mut row in content.fleet.rows() {
        if let Row::Meta(meta) = &mut row {
            meta.next_grant += GAP;
            meta.next_volume += GAP;
        }
        fleet.load(row).map_err(|why| StoreError::damaged("the state", why))?;
    }
    Ok(Content { fleet, position: Some(position), membership })
}

/// As if the first member had written the entry at `position` and every member had it, and its snapshot.
fn make_one(
    content: &Content,
    position: LogPos,
    cluster: &NewCluster,
    node: u64,
    dir: &Path,
) -> Result<u128, RestoreError> {
    disk::create_dir(&RealDisk, dir)?;
    let engine = Engine::open(dir)?;
    let vote = Vote { term: position.term, node: position.node, committed: true };
    let mut batch = Batch::default();
    batch.put(Column::Meta, PURGED, meta::encode(&position));
    batch.put(Column::Meta, VOTE, meta::encode(&vote));
    batch.put(Column::Meta, COMMITTED, meta::encode(&position));
    engine.write("restore the log's position", &batch)?;
    replace_rows(&engine, content)?;
    let snapshots = Snapshots::open(&Ground::default(), dir)?;
    let snapshot = snapshots.build_now(&engine)?;
    let hash = snapshot.verify()?.hash;
    drop(engine);
    let mut mark = Mark::open(&Ground::default(), dir)?;
    mark.note(Some(position), Some(vote))?;
    mark.close()?;
    Identity::new(&cluster.name, cluster.id, node).save(&RealDisk, dir)?;
    Ok(hash)
}
