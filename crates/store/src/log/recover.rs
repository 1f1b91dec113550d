//! What a restart finds: the whole log is read and checked before the node takes part in anything.

use std::{path::Path, sync::Arc};

use prost::Message;

use super::{mark::Reached, read, usage::Usage};
use crate::{
    LogPos, Vote,
    engine::Engine,
    error::{OpenError, StoreError},
    position::show,
};

/// Keys of the meta column family that belong to the log.
pub(super) const VOTE: &[u8] = b"vote";
pub(super) const PURGED: &[u8] = b"purged";
pub(super) const COMMITTED: &[u8] = b"committed";

/// The log as it lies on disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) purged: Option<LogPos>,
    pub(super) last: Option<LogPos>,
    pub(super) last_crc: u32,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogPos>,
    pub(super) usage: Usage,
}

/// Reads every record. A damaged one ends it: entries after it were acknowledged, and guessing is not safe.
pub(super) fn scan(engine: &Arc<Engine>) -> Result<Found, StoreError> {
    let mut found = Found {
        purged: meta(engine, PURGED)?,
        vote: meta(engine, VOTE)?,
        committed: meta(engine, COMMITTED)?,
        ..Found::default()
    };
    found.last = found.purged;
    let first = found.purged.map_or(0, |purged| purged.index + 1);
    for read in read::stored(engine, first..u64::MAX) {
        let read = read?;
        if found.last_crc == 0 && found.last == found.purged && read.entry.pos.index != first {
            let why = format!("the log goes on with entry {}", read.entry.pos.index);
            return Err(StoreError::damaged(format!("log entry {first}"), why));
        }
        found.usage.added(read.entry.pos.index, read.entry.size_bytes());
        found.last = Some(read.entry.pos);
        found.last_crc = read.crc;
    }
    Ok(found)
}

/// Holds the log against its mark: a voter that forgot what it acknowledged must not vote.
pub(super) fn check_mark(dir: &Path, found: &Found, reached: Reached) -> Result<(), OpenError> {
    if found.last < reached.last {
        let (found, mark) = (show(found.last), show(reached.last));
        return Err(OpenError::LogShort { dir: dir.to_owned(), found, mark });
    }
    if found.vote < reached.vote {
        let show =
            |vote: Option<Vote>| vote.map_or("no vote".to_owned(), |vote| format!("a vote in term {}", vote.term));
        let (found, mark) = (show(found.vote), show(reached.vote));
        return Err(OpenError::LogShort { dir: dir.to_owned(), found, mark });
    }
    Ok(())
}

fn meta<M: Message + Default>(engine: &Engine, key: &'static [u8]) -> Result<Option<M>, StoreError> {
    let Some(bytes) = engine.read_meta(key)? else { return Ok(None) };
    crate::meta::decode(key, &bytes).map(Some)
}
