//! What a restart finds: the whole log is read and checked before the node takes part in anything.

use std::path::Path;

use prost::Message;

use super::{Log, LogEntry, ReadLimit, mark::Reached, read, usage::Usage};
use crate::{
    LogPos, Vote,
    apply::APPLIED,
    error::{OpenError, StoreError},
    kv::{Column, KvEngine},
    position::show,
};

/// Keys of the meta column family that belong to the log.
pub const VOTE: &[u8] = b"vote";
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
pub(super) fn scan(engine: &dyn KvEngine) -> Result<Found, StoreError> {
    let (found, damage) = scan_to_damage(engine, |_| {})?;
    damage.map_or(Ok(found), Err)
}

/// As [`scan`], with what came before a damaged record, for those who only look. Each whole entry is also given to `look`.
pub(crate) fn scan_to_damage(
    engine: &dyn KvEngine,
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
        if Some(read.entry.pos) <= found.last {
            let (pos, last) = (read.entry.pos, show(found.last));
            return Ok((
                found,
                Some(StoreError::damaged(format!("log entry at {pos}"), format!("it comes after {last}"))),
            ));
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

/// Holds the log against the state, which is made of its entries: what is missing between the two cannot be applied, and where
/// they contradict each other one of them is not what was written. The state may be ahead, where a snapshot was installed; and
/// a snapshot that is ahead of it is installed next.
pub(crate) fn check_state(log: &Log, applied: Option<LogPos>, snapshot: Option<LogPos>) -> Result<(), StoreError> {
    let index = |pos: Option<LogPos>| pos.map(|pos| pos.index);
    if index(log.purged()) > index(applied).max(index(snapshot)) {
        let (purged, applied) = (show(log.purged()), show(applied));
        return Err(StoreError::damaged(
            "the state",
            format!("it ends at {applied}, and the log begins after {purged}"),
        ));
    }
    let Some(applied) = applied else { return Ok(()) };
    let there = log.read(applied.index..applied.index.saturating_add(1), ReadLimit::NONE)?;
    match there.first() {
        Some(entry) if entry.pos != applied => {
            let why = format!("it ends at {applied}, where the log has {}", entry.pos);
            Err(StoreError::damaged("the state", why))
        }
        _ => Ok(()),
    }
}

/// What a record under [`APPLIED`] says, for those who look at a database from outside.
pub fn applied_of_record(record: &[u8]) -> Result<LogPos, StoreError> {
    crate::meta::decode(APPLIED, record)
}

/// What a record under [`VOTE`] says, for those who look at a database from outside.
pub fn vote_of_record(record: &[u8]) -> Result<Vote, StoreError> {
    crate::meta::decode(VOTE, record)
}

fn meta<M: Message + Default>(engine: &dyn KvEngine, key: &'static [u8]) -> Result<Option<M>, StoreError> {
    let Some(bytes) = engine.get(Column::Meta, key)? else { return Ok(None) };
    crate::meta::decode(key, &bytes).map(Some)
}
