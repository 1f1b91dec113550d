//! Between Raft messages on the wire and the consensus library's types.
//!
//! What comes from a peer may be anything: a message that lacks what it needs is refused by name, never guessed at.

#[allow(clippy::all, clippy::pedantic, missing_debug_implementations, unreachable_pub)]
pub(crate) mod proto {
    tonic::include_proto!("gantry.raft.v1");
}

use std::fmt;

use gantry_store::{Commands, LogPos};
use openraft::{
    EntryPayload,
    raft::{
        AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};

use crate::{
    convert::{log_id, log_pos, membership, membership_record, stored_vote, vote},
    raft_types::{Entry, LogId, Types, Vote},
};

/// A message that a member of this version would not send.
#[derive(Debug)]
pub(crate) struct Malformed {
    what: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer sent a malformed message: {}", self.what)
    }
}

impl std::error::Error for Malformed {}

fn required<T>(field: Option<T>, name: &'static str) -> Result<T, Malformed> {
    field.ok_or_else(|| Malformed { what: format!("{name} is missing") })
}

fn position(id: Option<LogId>) -> Option<LogPos> {
    id.map(log_pos)
}

pub(crate) fn required_vote(field: Option<gantry_store::Vote>) -> Result<Vote, Malformed> {
    required(field, "vote").map(vote)
}

fn entry_to_wire(entry: Entry) -> proto::Entry {
    let pos = log_pos(entry.log_id);
    let payload = match entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(commands) => Some(proto::entry::Payload::Commands(commands.bytes)),
        EntryPayload::Membership(membership) => {
            Some(proto::entry::Payload::Membership(membership_record(Some(pos), &membership)))
        }
    };
    proto::Entry { pos: Some(pos), payload }
}

fn entry_from_wire(entry: proto::Entry) -> Result<Entry, Malformed> {
    let payload = match entry.payload {
        None => EntryPayload::Blank,
        Some(proto::entry::Payload::Commands(bytes)) => EntryPayload::Normal(Commands::undecoded(bytes)),
        Some(proto::entry::Payload::Membership(record)) => {
            let membership = membership(&record).map_err(|error| Malformed { what: error.to_string() })?;
            EntryPayload::Membership(membership)
        }
    };
    Ok(Entry { log_id: log_id(required(entry.pos, "entry.pos")?), payload })
}

pub(crate) fn append_to_wire(request: AppendEntriesRequest<Types>, peer: Option<proto::Peer>) -> proto::AppendRequest {
    proto::AppendRequest {
        peer,
        vote: Some(stored_vote(&request.vote)),
        previous: position(request.prev_log_id),
        entries: request.entries.into_iter().map(entry_to_wire).collect(),
        committed: position(request.leader_commit),
    }
}

/// The entries follow each other and `previous`: a leader that purged its log while it read may send some that do not, and the
/// library takes for granted that they do.
pub(crate) fn append_from_wire(request: proto::AppendRequest) -> Result<AppendEntriesRequest<Types>, Malformed> {
    let mut next = request.previous.map_or(Some(0), |previous| previous.index.checked_add(1));
    for entry in &request.entries {
        let index = required(entry.pos, "position")?.index;
        if next != Some(index) {
            return Err(Malformed { what: format!("entry {index} does not follow the one before it") });
        }
        next = index.checked_add(1);
    }
    let entries: Result<Vec<Entry>, Malformed> = request.entries.into_iter().map(entry_from_wire).collect();
    Ok(AppendEntriesRequest {
        vote: required_vote(request.vote)?,
        prev_log_id: request.previous.map(log_id),
        entries: entries?,
        leader_commit: request.committed.map(log_id),
    })
}

pub(crate) fn appended_to_wire(result: StreamAppendResult<Types>, peer: Option<proto::Peer>) -> proto::AppendResponse {
    use proto::append_response::Result as Wire;
    let result = match result {
        Ok(last) => Wire::Matched(proto::Matched { last: position(last) }),
        Err(StreamAppendError::Conflict(at)) => Wire::Conflict(log_pos(at)),
        Err(StreamAppendError::HigherVote(vote)) => Wire::HigherVote(stored_vote(&vote)),
    };
    proto::AppendResponse { peer, result: Some(result), disk: None }
}

pub(crate) fn appended_from_wire(response: proto::AppendResponse) -> Result<StreamAppendResult<Types>, Malformed> {
    use proto::append_response::Result as Wire;
    Ok(match required(response.result, "result")? {
        Wire::Matched(matched) => Ok(matched.last.map(log_id)),
        Wire::Conflict(at) => Err(StreamAppendError::Conflict(log_id(at))),
        Wire::HigherVote(higher) => Err(StreamAppendError::HigherVote(vote(higher))),
    })
}

pub(crate) fn vote_to_wire(request: &VoteRequest<Types>, peer: proto::Peer) -> proto::VoteRequest {
    proto::VoteRequest {
        peer: Some(peer),
        vote: Some(stored_vote(&request.vote)),
        last: position(request.last_log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_from_wire(request: proto::VoteRequest) -> Result<VoteRequest<Types>, Malformed> {
    let mut vote = VoteRequest::new(required_vote(request.vote)?, request.last.map(log_id));
    vote.leadership_transfer = request.leadership_transfer;
    Ok(vote)
}

pub(crate) fn voted_to_wire(response: &VoteResponse<Types>, peer: proto::Peer) -> proto::VoteResponse {
    proto::VoteResponse {
        peer: Some(peer),
        vote: Some(stored_vote(&response.vote)),
        granted: response.vote_granted,
        last: position(response.last_log_id),
    }
}

pub(crate) fn voted_from_wire(response: proto::VoteResponse) -> Result<VoteResponse<Types>, Malformed> {
    let vote = required_vote(response.vote)?;
    Ok(VoteResponse { vote, vote_granted: response.granted, last_log_id: response.last.map(log_id) })
}

pub(crate) fn transfer_to_wire(
    request: &TransferLeaderRequest<Types>,
    peer: proto::Peer,
) -> proto::TransferLeaderRequest {
    proto::TransferLeaderRequest {
        peer: Some(peer),
        from_leader: Some(stored_vote(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().copied().map(log_pos),
    }
}

pub(crate) fn transfer_from_wire(
    request: proto::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<Types>, Malformed> {
    let from = required_vote(request.from_leader)?;
    Ok(TransferLeaderRequest::new(from, request.to, request.last.map(log_id)))
}

pub(crate) fn transferred_to_wire(
    response: TransferLeaderResponse<Types>,
    peer: proto::Peer,
) -> proto::TransferLeaderResponse {
    use proto::transfer_leader_response::Refused;
    let refused = response.err().map(|error| match error {
        TransferLeaderError::VoteChanged { expected, actual } => Refused::VoteChanged(proto::VoteChanged {
            expected: Some(stored_vote(&expected)),
            actual: Some(stored_vote(&actual)),
        }),
        TransferLeaderError::LogNotFlushed { expected, actual } => {
            Refused::LogNotFlushed(proto::LogNotFlushed { expected: position(expected), actual: position(actual) })
        }
    });
    proto::TransferLeaderResponse { peer: Some(peer), refused }
}

pub(crate) fn transferred_from_wire(
    response: proto::TransferLeaderResponse,
) -> Result<TransferLeaderResponse<Types>, Malformed> {
    use proto::transfer_leader_response::Refused;
    Ok(match response.refused {
        None => Ok(()),
        Some(Refused::VoteChanged(changed)) => Err(TransferLeaderError::VoteChanged {
            expected: required_vote(changed.expected)?,
            actual: required_vote(changed.actual)?,
        }),
        Some(Refused::LogNotFlushed(log)) => Err(TransferLeaderError::LogNotFlushed {
            expected: log.expected.map(log_id),
            actual: log.actual.map(log_id),
        }),
    })
}

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;
