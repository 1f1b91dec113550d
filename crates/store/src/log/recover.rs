//! What a restart finds: the whole log is read and checked before the node takes part in anything.

use std::path::Path;

use prost::Message;

use super::{LogEntry, mark::Reached, read, usage::Usage};
use crate::{
    LogPos, Vote,
    engine::Engine,
    error::{OpenError, StoreError},
    position::show,
};

/// Keys of the meta column family that belong to the log.
pub(crate) const VOTE: &[u8] = b"vote";
pub(crate) const PURGED: &[u8] = b"purged";
pub(crate) const COMMITTED: &[u8] = b"committed";

/// The log as it lies on disk.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) purged: Option<LogPos>,
    pub(crate) last: Option<LogPos>,
    pub(crate) last_crc: u32,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogPos>,
    pub(crate) usage: Usage,
}

/// Reads every record. A damaged one ends it: entries after it were acknowledged, and guessing is not safe.
pub(super) fn scan(engine: &Engine) -> Result<Found, StoreError> {
    let (found, damage) = scan_to_damage(engine, |_| {})?;
    damage.map_or(Ok(found), Err)
}

/// As [`scan`], with what came before a damaged record, for those who only look. Each whole entry is also given to `look`.
pub(crate) fn scan_to_damage(
    engine: &Engine,
    mut look: impl FnMut(&LogEntry),
) -> Result<(Found, Option<StoreError>), StoreError> {
    let mut found = Found {
        purged: meta(engine, PURGED)?,
        vote: meta(engine, VOTE)?,
        committed: meta(engine, COMMITTED)?,
        ..Found::default()
    };
    found.last = found.purged;
    let first = found.purged.map_or(0, |purged| purged.index + 1);
    for read in read::stored(engine, first..u64::MAX) {
        let read = match read {
            Ok(read) => read,
            Err(error) => return Ok((found, Some(error))),
        };
        if found.last_crc == 0 && found.last == found.purged && read.entry.pos.index != first {
            let why = format!("the log goes on with entry {}", read.entry.pos.index);
            return Ok((found, Some(StoreError::damaged(format!("log entry {first}"), why))));
        }
        look(&read.entry);
        found.usage.added(read.entry.pos.index, read.entry.size_bytes());
        found.last = Some(read.entry.pos);
        found.last_crc = read.crc;
    }
    Ok((found, None))
}

/// Holds the log against its mark: a voter that forgot what it acknowledged must not vote.
pub(crate) fn check_mark(dir: &Path, found: &Found, reached: Reached) -> Result<(), OpenError> {
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
