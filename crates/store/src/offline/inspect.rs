//! Reads a data directory from end to end and says what is in it, and what is wrong with it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use gantry_fleet::Fleet;

use crate::{
    Identity, LogPos, Membership, Vote,
    apply::{APPLIED, MEMBERSHIP, load_row, read_meta},
    dir_lock::DirLock,
    disk::RealDisk,
    engine::{self, Engine},
    error::{OpenError, StoreError},
    family,
    kv::{Column, KvEngine},
    log::{
        manifest,
        mark::{Mark, Reached},
        recover,
    },
    snapshot,
    state::StateHasher,
    store,
};

/// A data directory, as it lies on disk.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    pub dir: PathBuf,
    /// A server has it open: what is read is of no one moment.
    pub in_use: bool,
    pub identity: Option<Identity>,
    pub mark: MarkReport,
    /// Absent where the database cannot be opened.
    pub log: Option<LogReport>,
    /// Absent where it cannot be read to its end.
    pub state: Option<StateReport>,
    /// Newest first.
    pub snapshots: Vec<SnapshotReport>,
    /// What a server would not start with, or what it would have to do without. Empty for a sound directory.
    pub problems: Vec<Problem>,
}

/// How far the log had come when it was last synced, as noted outside the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarkReport {
    pub last: Option<LogPos>,
    pub vote: Option<Vote>,
}

/// The log up to the first damaged entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogReport {
    pub purged: Option<LogPos>,
    pub first: Option<LogPos>,
    pub last: Option<LogPos>,
    pub entries: u64,
    pub bytes: u64,
    pub vote: Option<Vote>,
    /// As noted now and then: a lower bound.
    pub committed: Option<LogPos>,
}

#[derive(Clone, Debug, Default)]
pub struct StateReport {
    pub applied: Option<LogPos>,
    pub membership: Membership,
    /// Rows of each family.
    pub rows: BTreeMap<&'static str, u64>,
    pub hash: u128,
}

#[derive(Clone, Debug)]
pub struct SnapshotReport {
    pub path: PathBuf,
    pub bytes: u64,
    /// What it holds, where all of it is whole.
    pub content: Option<SnapshotContent>,
}

#[derive(Clone, Copy, Debug)]
pub struct SnapshotContent {
    pub position: Option<LogPos>,
    pub rows: u64,
    pub hash: u128,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which part of the directory.
    pub part: &'static str,
    pub why: String,
}

/// Reads all of `dir`. Fails only where there is no data directory; what is damaged is said in the result.
pub fn inspect(dir: &Path) -> Result<Inspection, OpenError> {
    let none = |why: &str| OpenError::Unusable { dir: dir.to_owned(), why: why.to_owned() };
    if !dir.is_dir() {
        return Err(none("there is no such directory"));
    }
    let identity = Identity::read(dir);
    let has_database = dir.join(engine::DIR).is_dir();
    if matches!(identity, Ok(None)) && !has_database {
        return Err(none("it is no data directory: it has neither an identity file nor a database"));
    }
    let mut found = Inspection { dir: dir.to_owned(), in_use: DirLock::is_taken(dir), ..Inspection::default() };
    match identity {
        Ok(Some(identity)) => found.identity = Some(identity),
        Ok(None) => found.problem("identity", "there is no identity file"),
        Err(error) => found.problem("identity", error),
    }
    let reached = Mark::look(&RealDisk, dir).unwrap_or_else(|error| {
        found.problem("mark", error);
        Reached::default()
    });
    if !reached.is_there() && found.identity.as_ref().is_some_and(|identity| identity.cluster_id != 0) {
        found.problem("mark", store::MARK_GONE);
    }
    found.mark = MarkReport { last: reached.last, vote: reached.vote };
    if has_database {
        match Engine::open_read_only(dir) {
            Ok(engine) => {
                if let Err(short) = manifest::check(manifest::current(dir), reached.manifest) {
                    found.problem("database", short);
                }
                found.read_log(&engine, reached);
                found.read_state(&engine);
            }
            Err(error) => found.problem("database", error),
        }
    }
    found.read_snapshots();
    Ok(found)
}

impl Inspection {
    fn problem(&mut self, part: &'static str, why: impl ToString) {
        self.problems.push(Problem { part, why: why.to_string() });
    }

    fn read_log(&mut self, engine: &dyn KvEngine, reached: Reached) {
        let mut first = None;
        let mut entries = 0;
        let scanned = recover::scan_to_damage(engine, |entry| {
            first.get_or_insert(entry.pos);
            entries += 1;
        });
        let (log, damage) = match scanned {
            Ok(scanned) => scanned,
            Err(error) => return self.problem("log", error),
        };
        if let Some(damage) = damage {
            self.problem("log", damage);
        } else if let Err(short) = recover::check_mark(&self.dir, &log, reached) {
            self.problem("log", short);
        }
        let recover::Found { purged, last, vote, committed, usage, .. } = log;
        self.log = Some(LogReport { purged, first, last, entries, bytes: usage.bytes(), vote, committed });
    }

    fn read_state(&mut self, engine: &dyn KvEngine) {
        match read_state(engine) {
            Ok((state, fleet)) => {
                if let Err(broken) = fleet.check() {
                    self.problem("state", broken);
                }
                if self.log.is_some_and(|log| log.last < state.applied) {
                    self.problem("state", "it is ahead of the log that it came from");
                }
                self.state = Some(state);
            }
            Err(error) => self.problem("state", error),
        }
    }

    fn read_snapshots(&mut self) {
        let paths = match snapshot::published_in(&RealDisk, &self.dir) {
            Ok(paths) => paths,
            Err(error) => return self.problem("snapshots", error),
        };
        for path in paths {
            let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let content = match snapshot::verify(&RealDisk, &path) {
                Ok(content) => Some(content),
                Err(error) => {
                    self.problem("snapshots", error);
                    None
                }
            };
            self.snapshots.push(SnapshotReport { path, bytes, content });
        }
    }
}

/// The state as its rows say, with its hash.
pub(crate) fn read_state(engine: &dyn KvEngine) -> Result<(StateReport, Fleet), StoreError> {
    let applied: Option<LogPos> = read_meta(engine, APPLIED)?;
    let membership: Option<Membership> = read_meta(engine, MEMBERSHIP)?;
    let (mut fleet, mut hasher, mut rows) = (Fleet::default(), StateHasher::default(), BTreeMap::new());
    for row in engine.rows(Column::State, (&[], None)) {
        let (key, value) = row?;
        load_row(&mut fleet, &key, &value)?;
        hasher.encoded(&key, &value);
        *rows.entry(family::name_of(&key)).or_default() += 1;
    }
    let membership = membership.unwrap_or_default();
    Ok((StateReport { applied, membership, rows, hash: hasher.finish() }, fleet))
}
