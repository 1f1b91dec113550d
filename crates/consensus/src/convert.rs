//! Between the store's records and the consensus library's types.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use gantry_store as store;
use gantry_store::{LogEntry, LogPos, Voters};
use openraft::EntryPayload;

use crate::raft_types::{Addresses, Entry, LeaderId, LogId, Membership, StoredMembership, Vote};

pub(crate) fn log_id(pos: LogPos) -> LogId {
    LogId { leader_id: LeaderId { term: pos.term, node_id: pos.node }, index: pos.index }
}

pub(crate) fn log_pos(id: LogId) -> LogPos {
    LogPos { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(crate) fn vote(vote: store::Vote) -> Vote {
    Vote { leader_id: LeaderId { term: vote.term, node_id: vote.node }, committed: vote.committed }
}

pub(crate) fn stored_vote(vote: &Vote) -> store::Vote {
    store::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

/// The library refuses a membership whose voters are not all among its nodes: such bytes were never written by us.
pub(crate) fn membership(record: &store::Membership) -> io::Result<Membership> {
    let configs: Vec<BTreeSet<u64>> =
        record.configs.iter().map(|voters| voters.ids.iter().copied().collect()).collect();
    if configs.is_empty() && record.members.is_empty() {
        return Ok(Membership::default());
    }
    let nodes: BTreeMap<u64, Addresses> = record.members.iter().cloned().map(Addresses::of).collect();
    Membership::new(configs, nodes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

pub(crate) fn stored_membership(record: &store::Membership) -> io::Result<StoredMembership> {
    Ok(StoredMembership::new(record.pos.map(log_id), membership(record)?))
}

/// The membership as the store keeps it. Who is retired only the store knows.
pub(crate) fn membership_record(pos: Option<LogPos>, membership: &Membership) -> store::Membership {
    let configs =
        membership.get_joint_config().iter().map(|ids| Voters { ids: ids.iter().copied().collect() }).collect();
    let members = membership.nodes().map(|(id, addresses)| addresses.member(*id)).collect();
    store::Membership { pos, configs, members, retired: Vec::new() }
}

pub(crate) fn entry(entry: LogEntry) -> io::Result<Entry> {
    let payload = match entry.payload {
        store::Payload::Blank => EntryPayload::Blank,
        store::Payload::Commands(commands) => EntryPayload::Normal(commands),
        store::Payload::Membership(record) => EntryPayload::Membership(membership(&record)?),
    };
    Ok(Entry { log_id: log_id(entry.pos), payload })
}

pub(crate) fn log_entry(entry: Entry) -> LogEntry {
    let pos = log_pos(entry.log_id);
    let payload = match entry.payload {
        EntryPayload::Blank => store::Payload::Blank,
        EntryPayload::Normal(commands) => store::Payload::Commands(commands),
        EntryPayload::Membership(membership) => {
            store::Payload::Membership(Arc::new(membership_record(Some(pos), &membership)))
        }
    };
    LogEntry { pos, payload }
}
