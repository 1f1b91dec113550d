//! A new cluster out of one survivor of a cluster that has lost its quorum.
//!
//! What the survivor has is taken as it is: its state, and all of its log, also what it cannot know to be committed. What only
//! the others had is lost, and nobody can tell from here what that was; so a person has to say that it may be.

use std::path::{Path, PathBuf};

use super::{
    inspect::{self, Inspection},
    restore::{self, NewCluster, RestoreError, Restored},
};
use crate::{
    LogEntry, LogPos, Membership, Payload,
    apply::commands,
    engine::Engine,
    error::{OpenError, StoreError},
    log::recover::scan_to_damage,
    snapshot::Content,
};

/// Why nothing was recovered. Nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("a server runs on {}: recover is for members that are stopped", dir.display())]
    InUse { dir: PathBuf },
    #[error("{} holds no member of a cluster", dir.display())]
    NoMember { dir: PathBuf },
    #[error("the data in {} cannot be read: {source}: recover from another member, or restore a backup", dir.display())]
    Unreadable { dir: PathBuf, source: StoreError },
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

/// What a survivor has, and what it cannot have.
#[derive(Clone, Debug)]
pub struct Survivor {
    pub inspection: Inspection,
    /// Of the cluster as this member knew it.
    pub membership: Membership,
    /// The last entry that will be in the new cluster.
    pub last: LogPos,
    /// The last entry that this member knew to be committed; the truth may be later.
    pub committed: Option<LogPos>,
    /// Entries of the log that are not in the state yet and will be applied.
    pub to_apply: u64,
    /// The log is damaged after `last`, or ends before its mark: what is missing was acknowledged by this very member.
    pub log_is_broken: Option<String>,
}

/// Looks at a survivor, and changes nothing.
pub fn look(dir: &Path) -> Result<Survivor, RecoverError> {
    let inspection = inspect::inspect(dir)?;
    if inspection.in_use {
        return Err(RecoverError::InUse { dir: dir.to_owned() });
    }
    let (content, to_apply) = read(dir)?;
    let member = inspection.identity.as_ref().is_some_and(|identity| identity.cluster_id != 0);
    let Some(last) = content.position.filter(|_| member) else {
        return Err(RecoverError::NoMember { dir: dir.to_owned() });
    };
    let log_is_broken = inspection.problems.iter().find(|problem| problem.part == "log");
    let log_is_broken = log_is_broken.map(|problem| problem.why.clone());
    let committed = inspection.log.and_then(|log| log.committed);
    Ok(Survivor { membership: content.membership, last, committed, to_apply, log_is_broken, inspection })
}

/// Makes the data directory of `cluster`'s only member out of the survivor in `dir`, which stays as it is.
pub fn recover(dir: &Path, cluster: &NewCluster, into: &Path) -> Result<Restored, RecoverError> {
    look(dir)?;
    let (content, _) = read(dir)?;
    let targets: Vec<_> = cluster.members.iter().map(|member| (member.id, into.to_owned())).collect();
    Ok(restore::make(content, cluster, &targets)?)
}

/// The state with the whole log applied, as far as that is whole, and the number of entries that this took.
fn read(dir: &Path) -> Result<(Content, u64), RecoverError> {
    let unreadable = |source| RecoverError::Unreadable { dir: dir.to_owned(), source };
    let engine = Engine::open_read_only(dir).map_err(unreadable)?;
    let (state, fleet) = inspect::read_state(&engine).map_err(unreadable)?;
    let applied = state.applied.map_or(0, |applied| applied.index + 1);
    let mut content = Content { fleet, position: state.applied, membership: state.membership };
    let (mut to_apply, mut failed) = (0, None);
    scan_to_damage(&engine, |entry| {
        if entry.pos.index >= applied && failed.is_none() {
            to_apply += 1;
            failed = apply(&mut content, entry).err();
        }
    })
    .map_err(unreadable)?;
    failed.map_or(Ok((content, to_apply)), |error| Err(unreadable(error)))
}

fn apply(content: &mut Content, entry: &LogEntry) -> Result<(), StoreError> {
    if let Some(commands) = commands(entry)? {
        gantry_machine::apply(&mut content.fleet, entry.pos.index, &commands);
        content.fleet.take_events();
        content.fleet.take_changes();
    }
    if let Payload::Membership(next) = &entry.payload {
        content.membership = content.membership.succeeded_by(next);
    }
    content.position = Some(entry.pos);
    Ok(())
}
