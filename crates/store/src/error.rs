//! What can go wrong with a data directory, once it is open.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{LogPos, position::show};

/// A failed read or write of the store. None of them is retried: the process ends, and a restart starts from what is
/// durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// RocksDB refused.
    #[error("cannot {doing}: {source}")]
    Engine { doing: &'static str, source: rocksdb::Error },
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::sync::Arc<io::Error> },
    /// Bytes that were written are not what is read.
    #[error("{what} is damaged: {why}: restore this node from its peers (remove it, then add it with a new id)")]
    Damaged { what: String, why: String },
    /// Somebody else is at it.
    #[error("{what}: {why}")]
    Busy { what: String, why: &'static str },
    /// Too little of the disk is left for something that can wait: nothing of it is left behind.
    #[error(
        "there is no room for {what}: {free_bytes} bytes are free of the {need_bytes} that it needs: free or add disk space"
    )]
    NoRoom { what: &'static str, free_bytes: u64, need_bytes: u64 },
    /// Bytes written by a newer version.
    #[error("{what} has version {found}, this program knows {known}: start the newer version of gantry")]
    Version { what: String, found: u32, known: u32 },
    /// Committed commands that this program cannot apply.
    #[error("log entry {index} cannot be applied: {source}")]
    Entry { index: u64, source: gantry_machine::EntryError },
    /// An entry that has no place there: nothing was written.
    #[error("log entry {index} does not follow {last}, the last one there is")]
    Gap { index: u64, last: String },
    /// An earlier write failed; nothing is written any more.
    #[error("the log writer has stopped: {why}")]
    Stopped { why: String },
}

impl StoreError {
    pub(crate) fn engine(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> Self {
        move |source| Self::Engine { doing, source }
    }

    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source: std::sync::Arc::new(source) }
    }

    /// What is read is not what was written.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            // A file that the database's own list names is gone, or too short.
            Self::Engine { source, .. } => {
                let kind = source.kind();
                let gone =
                    || ["No such file", "while reading", "truncated"].iter().any(|why| source.as_ref().contains(why));
                kind == rocksdb::ErrorKind::Corruption || (kind == rocksdb::ErrorKind::IOError && gone())
            }
            Self::Io { .. }
            | Self::Busy { .. }
            | Self::NoRoom { .. }
            | Self::Version { .. }
            | Self::Entry { .. }
            | Self::Gap { .. }
            | Self::Stopped { .. } => false,
        }
    }

    /// It goes once there is room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoRoom { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// `last` is the last entry there is.
    pub fn gap(index: u64, last: Option<LogPos>) -> Self {
        Self::Gap { index, last: show(last) }
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), why: why.into() }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Io { source, .. } => source.kind(),
            StoreError::Damaged { .. }
            | StoreError::Version { .. }
            | StoreError::Entry { .. }
            | StoreError::Gap { .. } => io::ErrorKind::InvalidData,
            StoreError::Busy { .. } => io::ErrorKind::ResourceBusy,
            StoreError::NoRoom { .. } => io::ErrorKind::StorageFull,
            StoreError::Engine { .. } | StoreError::Stopped { .. } => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Why a data directory cannot be used. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("data directory {} belongs to node {found}, this is node {want}: point data_dir elsewhere", dir.display())]
    OtherNode { dir: PathBuf, found: u64, want: u64 },
    #[error("data directory {} belongs to cluster {found:?}, this is {want:?}: point data_dir elsewhere", dir.display())]
    OtherCluster { dir: PathBuf, found: String, want: String },
    #[error("data directory {} is in use by another process: stop it first", dir.display())]
    Locked { dir: PathBuf },
    #[error("data directory {} cannot be used: {why}", dir.display())]
    Unusable { dir: PathBuf, why: String },
    /// What was acknowledged is gone: the node must not vote on what is left.
    #[error(
        "the log in {} ends at {found} but had reached {mark}: acknowledged entries are lost. Remove this node from the \
         cluster and add it again with a new id and an empty directory", dir.display()
    )]
    LogShort { dir: PathBuf, found: String, mark: String },
    /// Other replicas came to another state. What is here is evidence.
    #[error(
        "the data in {} differs from the other replicas' ({why}): keep it to find out why, then `gantry rebuild {}` lets the \
         node come back with the others' data", dir.display(), dir.display()
    )]
    Diverged { dir: PathBuf, why: String },
    /// An operator gave up what is here.
    #[error("the data in {} is to be rebuilt from the other replicas", dir.display())]
    RebuildWanted { dir: PathBuf },
    #[error("the data in {} cannot be read: {source}", dir.display())]
    Unreadable { dir: PathBuf, source: StoreError },
}

impl OpenError {
    /// The data is not what was written, or was given up: a node whose peers are a quorum may begin anew with theirs. Not so
    /// where an operator has to decide first, or where the data is sound and something else is wrong.
    pub fn is_lost_data(&self) -> bool {
        match self {
            Self::LogShort { .. } | Self::RebuildWanted { .. } => true,
            Self::Unreadable { source, .. } => source.is_damage(),
            Self::OtherNode { .. }
            | Self::OtherCluster { .. }
            | Self::Locked { .. }
            | Self::Unusable { .. }
            | Self::Diverged { .. } => false,
        }
    }
}
