//! Every field of every message makes the round trip through its bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::{collection, option, prelude::*};
use prost::Message;

use super::*;
use crate::raft_types::{Addresses, LeaderId, Membership};

fn log_ids() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>(), any::<u64>())
        .prop_map(|(term, node_id, index)| LogId { leader_id: LeaderId { term, node_id }, index })
}

fn votes() -> impl Strategy<Value = Vote> {
    (any::<u64>(), any::<u64>(), any::<bool>())
        .prop_map(|(term, node_id, committed)| Vote { leader_id: LeaderId { term, node_id }, committed })
}

fn memberships() -> impl Strategy<Value = Membership> {
    let members = collection::btree_map(any::<u64>(), ("[a-z]{0,5}:[0-9]{1,5}", "[a-z]{0,5}:[0-9]{1,5}"), 1..6);
    (members, any::<bool>()).prop_map(|(members, joint)| {
        let addresses = |(id, (raft, client))| (id, Addresses { raft, client });
        let nodes: BTreeMap<u64, Addresses> = members.into_iter().map(addresses).collect();
        let all: BTreeSet<u64> = nodes.keys().copied().collect();
        let first: BTreeSet<u64> = all.iter().copied().take(1).collect();
        let configs = if joint { vec![first, all] } else { vec![first] };
        Membership::new(configs, nodes).expect("all voters are nodes")
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let commands = collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Commands::undecoded(Bytes::from(bytes)));
    let payload = prop_oneof![
        Just(EntryPayload::Blank),
        commands.prop_map(EntryPayload::Normal),
        memberships().prop_map(EntryPayload::Membership),
    ];
    (log_ids(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
}

fn peer() -> proto::Peer {
    proto::Peer { cluster: "north".to_owned(), cluster_id: 7, from: 1, to: 2, has_vote: true }
}

/// With indexes that follow each other.
fn joined(previous: Option<LogId>, entries: Vec<Entry>) -> Vec<Entry> {
    let first = previous.map_or(0, |previous| previous.index.saturating_add(1));
    let mut entries: Vec<Entry> = entries.into_iter().take((u64::MAX - first) as usize).collect();
    entries.iter_mut().zip(first..).for_each(|(entry, index)| entry.log_id.index = index);
    entries
}

/// As on the wire: through the bytes.
fn sent<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("what was encoded decodes")
}

proptest! {
    #[test]
    fn append_requests(
        vote in votes(), prev_log_id in option::of(log_ids()), entries in collection::vec(entries(), 0..5),
        leader_commit in option::of(log_ids()),
    ) {
        let request = AppendEntriesRequest { vote, prev_log_id, entries: joined(prev_log_id, entries), leader_commit };
        let wire = sent(&append_to_wire(request.clone(), Some(peer())));
        prop_assert_eq!(wire.peer.as_ref(), Some(&peer()));
        let got = append_from_wire(wire).unwrap();
        prop_assert_eq!(
            (got.vote, got.prev_log_id, got.leader_commit, got.entries),
            (request.vote, request.prev_log_id, request.leader_commit, request.entries)
        );
    }

    #[test]
    fn append_responses(result in prop_oneof![
        option::of(log_ids()).prop_map(Ok),
        log_ids().prop_map(|at| Err(StreamAppendError::Conflict(at))),
        votes().prop_map(|vote| Err(StreamAppendError::HigherVote(vote))),
    ]) {
        let wire = sent(&appended_to_wire(result.clone(), None));
        prop_assert_eq!(appended_from_wire(wire).unwrap(), result);
    }

    #[test]
    fn votes_and_their_answers(
        vote in votes(), last in option::of(log_ids()), flag in any::<bool>(),
    ) {
        let mut request = VoteRequest::new(vote, last);
        request.leadership_transfer = flag;
        prop_assert_eq!(vote_from_wire(sent(&vote_to_wire(&request, peer()))).unwrap(), request);
        let response = VoteResponse { vote, vote_granted: flag, last_log_id: last };
        prop_assert_eq!(voted_from_wire(sent(&voted_to_wire(&response, peer()))).unwrap(), response);
    }

    #[test]
    fn transfers_and_their_answers(
        votes in (votes(), votes()), lasts in (option::of(log_ids()), option::of(log_ids())), to in any::<u64>(),
    ) {
        let request = TransferLeaderRequest::new(votes.0, to, lasts.0);
        prop_assert_eq!(transfer_from_wire(sent(&transfer_to_wire(&request, peer()))).unwrap(), request);
        let responses = [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: votes.0, actual: votes.1 }),
            Err(TransferLeaderError::LogNotFlushed { expected: lasts.0, actual: lasts.1 }),
        ];
        for response in responses {
            let wire = sent(&transferred_to_wire(response.clone(), peer()));
            prop_assert_eq!(transferred_from_wire(wire).unwrap(), response);
        }
    }
}

#[test]
fn entries_that_leave_a_gap_are_refused() {
    let pos = |index| gantry_store::LogPos::new(2, 5, index);
    let request = |previous: Option<u64>, indexes: &[u64]| proto::AppendRequest {
        peer: Some(peer()),
        vote: Some(gantry_store::Vote { term: 2, node: 5, committed: true }),
        previous: previous.map(pos),
        entries: indexes.iter().map(|index| proto::Entry { pos: Some(pos(*index)), payload: None }).collect(),
        committed: None,
    };
    for (previous, indexes) in [(None, [0, 1]), (Some(498), [499, 500]), (Some(u64::MAX - 2), [u64::MAX - 1, u64::MAX])]
    {
        assert!(append_from_wire(request(previous, &indexes)).is_ok(), "{previous:?} {indexes:?}");
    }
    // What a leader sends that read its log while it was purged.
    let error = append_from_wire(request(Some(498), &[654, 655])).unwrap_err().to_string();
    assert!(error.contains("entry 654 does not follow"), "{error}");
    for (previous, indexes) in
        [(None, [1, 2]), (Some(3), [4, 6]), (Some(3), [4, 4]), (Some(3), [3, 4]), (Some(u64::MAX), [0, 1])]
    {
        assert!(append_from_wire(request(previous, &indexes)).is_err(), "{previous:?} {indexes:?}");
    }
}

#[test]
fn a_message_without_what_it_needs_is_refused_by_name() {
    let error = append_from_wire(proto::AppendRequest::default()).unwrap_err().to_string();
    assert!(error.contains("vote is missing"), "{error}");
    assert!(appended_from_wire(proto::AppendResponse::default()).is_err());
    let voters_that_are_no_nodes =
        gantry_store::Membership { configs: vec![gantry_store::Voters { ids: vec![1] }], ..Default::default() };
    let payload = Some(proto::entry::Payload::Membership(voters_that_are_no_nodes));
    let entry = proto::Entry { pos: Some(LogPos::default()), payload };
    assert!(entry_from_wire(entry).is_err());
}
