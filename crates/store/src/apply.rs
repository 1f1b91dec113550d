//! Applying committed entries: the only way the state changes, but for a snapshot.

use std::{sync::Arc, time::Duration};

use gantry_fleet::{FEATURE_LEVEL_MAX, Fleet, Row};
use gantry_machine::{Entry, Outcome};
use gantry_types::Rev;
use parking_lot::{RwLock, RwLockWriteGuard};
use prost::Message;

use crate::{
    LogEntry, LogPos, Membership, Payload, SharedState, State,
    error::StoreError,
    family,
    kv::{Batch, Column, KvEngine},
    load, meta,
};

/// Keys of the meta column family that belong to the state.
pub const APPLIED: &[u8] = b"applied";
pub(crate) const MEMBERSHIP: &[u8] = b"membership";

/// What an entry's commands came to, in their order.
#[derive(Debug)]
pub struct Applied {
    pub rev: Rev,
    pub outcomes: Vec<Outcome>,
}

/// Applies entries to the state in memory and writes what changed.
pub(crate) struct Applier {
    engine: Arc<dyn KvEngine>,
    state: SharedState,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Applier {
    /// Rebuilds the state from the rows in the database.
    pub(crate) fn load(engine: Arc<dyn KvEngine>) -> Result<Self, StoreError> {
        let applied: Option<LogPos> = read_meta(&*engine, APPLIED)?;
        let membership: Option<Membership> = read_meta(&*engine, MEMBERSHIP)?;
        let mut state = State { applied, membership: Arc::new(membership.unwrap_or_default()), ..State::default() };
        state.fleet = load::fleet(engine.rows(Column::State, (&[], None)))?;
        state.events.restart_at(state.rev());
        Ok(Self { engine, state: Arc::new(RwLock::new(state)), key: Vec::new(), value: Vec::new() })
    }

    pub(crate) fn state(&self) -> &SharedState {
        &self.state
    }

    /// Applies `entries`, which follow what was applied before: one result an entry, nothing for one without commands.
    /// Everything they changed is written as one batch, together with the position and the membership.
    /// Nothing, and nothing done, where readers hold the state for longer than `patience`.
    pub(crate) fn apply(
        &mut self,
        entries: &[LogEntry],
        patience: Duration,
    ) -> Result<Option<Vec<Option<Applied>>>, StoreError> {
        let Some(last) = entries.last() else { return Ok(Some(Vec::new())) };
        // Decoding needs no lock.
        let decoded: Result<Vec<Option<Arc<Entry>>>, StoreError> = entries.iter().map(commands).collect();
        let decoded = decoded?;
        let mut membership = None;
        let mut results = Vec::with_capacity(entries.len());
        let Some(mut state) = self.state.try_write_for(patience) else { return Ok(None) };
        for (entry, commands) in entries.iter().zip(&decoded) {
            if let Payload::Membership(next) = &entry.payload {
                membership = Some(Arc::new(state.membership.succeeded_by(next)));
                state.membership.clone_from(membership.as_ref().expect("it was set in the line before"));
            }
            results.push(commands.as_deref().map(|commands| apply_commands(&mut state, entry.pos.index, commands)));
        }
        state.applied = Some(last.pos);
        let events = state.fleet.take_events();
        state.events.extend(events);
        let mut changes = state.fleet.take_changes();
        // Readers may go on while the rows are encoded; nobody else writes.
        let state = RwLockWriteGuard::downgrade(state);
        changes.sort_unstable();
        changes.dedup();
        let mut batch = Batch::default();
        for change in &changes {
            family::key(change, &mut self.key);
            match state.fleet.row(change) {
                Some(row) => {
                    family::value(&row, &mut self.value);
                    batch.put(Column::State, &self.key, &self.value);
                }
                None => batch.delete(Column::State, &self.key),
            }
        }
        drop(state);
        batch.put(Column::Meta, APPLIED, meta::encode(&last.pos));
        if let Some(membership) = membership {
            batch.put(Column::Meta, MEMBERSHIP, meta::encode(&*membership));
        }
        self.engine.write("write the state", &batch)?;
        Ok(Some(results))
    }
}

/// The commands of an entry. One that this program does not know must not be guessed at: replicas would come to differ.
pub(crate) fn commands(entry: &LogEntry) -> Result<Option<Arc<Entry>>, StoreError> {
    let Payload::Commands(commands) = &entry.payload else { return Ok(None) };
    let known = match &commands.decoded {
        Some(decoded) => decoded.check().map(|()| Arc::clone(decoded)),
        None => Entry::read(&commands.bytes).map(Arc::new),
    };
    known.map(Some).map_err(|source| StoreError::Entry { index: entry.pos.index, source })
}

fn apply_commands(state: &mut State, rev: Rev, entry: &Entry) -> Applied {
    let outcomes = gantry_machine::apply(&mut state.fleet, rev, entry);
    debug_assert_eq!(outcomes.len(), entry.commands.len(), "one outcome a command");
    state.last_proposal = (entry.proposer, entry.proposal);
    Applied { rev, outcomes }
}

pub(crate) fn load_row(fleet: &mut Fleet, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    put_row(fleet, family::decode(key, value)?)
}

/// Adds a row that was decoded.
pub(crate) fn put_row(fleet: &mut Fleet, row: Row) -> Result<(), StoreError> {
    // Sound, and written by a newer version: what is taken for damage would be given up.
    if let Row::Meta(meta) = &row
        && meta.feature_level > FEATURE_LEVEL_MAX
    {
        let (what, found) = ("the state, by its feature level,".to_owned(), meta.feature_level);
        return Err(StoreError::Version { what, found, known: FEATURE_LEVEL_MAX });
    }
    let change = family::change(&row);
    fleet.load(row).map_err(|why| {
        let mut key = Vec::new();
        family::key(&change, &mut key);
        StoreError::damaged(format!("the row under key {}", family::hex(&key)), why)
    })
}

pub(crate) fn read_meta<M: Message + Default>(
    engine: &dyn KvEngine,
    key: &'static [u8],
) -> Result<Option<M>, StoreError> {
    engine.get(Column::Meta, key)?.map(|bytes| meta::decode(key, &bytes)).transpose()
}
