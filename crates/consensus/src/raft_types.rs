//! The types that the consensus library is built over, and their short names.

use gantry_store::{Applied, Commands, Member};
use openraft::{
    EntryPayload, OptionalSend, RaftTypeConfig,
    impls::{BoxedErrorSource, InlineBatch, Vote as RaftVote, leader_id_adv},
    raft::responder::Responder,
};
use tokio::sync::oneshot;

use crate::{machine::Machine, runtime::Runtime};

/// The library's types as this cluster uses them. Leaders are told apart by term and node: two candidates of one term do
/// not block each other, the higher node id wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl RaftTypeConfig for Types {
    type D = Commands;
    /// Nothing for an entry without commands.
    type R = Option<Applied>;
    type NodeId = u64;
    type Node = Addresses;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = RaftVote<LeaderId>;
    type Payload = Payload;
    type Entry = openraft::Entry<LeaderId, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = Answer<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

pub(crate) type LeaderId = leader_id_adv::LeaderId<u64, u64>;
pub(crate) type LogId = openraft::LogId<LeaderId>;
pub(crate) type Vote = RaftVote<LeaderId>;
pub(crate) type Payload = EntryPayload<Commands, u64, Addresses>;
pub(crate) type Entry = openraft::Entry<LeaderId, Payload>;
pub(crate) type Membership = openraft::Membership<u64, Addresses>;
pub(crate) type StoredMembership = openraft::StoredMembership<LeaderId, u64, Addresses>;
pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type WriteResult = openraft::raft::ClientWriteResult<Types>;

/// Where a member is reached; its id is the key it is found under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) raft: String,
    pub(crate) client: String,
}

impl Addresses {
    pub(crate) fn of(member: Member) -> (u64, Self) {
        (member.id, Self { raft: member.raft_addr, client: member.client_addr })
    }

    pub(crate) fn member(&self, id: u64) -> Member {
        Member { id, raft_addr: self.raft.clone(), client_addr: self.client.clone() }
    }
}

/// Who a refusal points to, where it does.
pub(crate) fn pointed_to(to: openraft::errors::ForwardToLeader<Types>) -> Option<Member> {
    to.leader_id.zip(to.leader_node).map(|(id, addresses)| addresses.member(id))
}

/// Sends a result to whoever waits for it, if anybody still does.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub(crate) oneshot::Sender<T>);

impl<T: OptionalSend + 'static> Responder<Types, T> for Answer<T> {
    fn on_complete(self, result: T) {
        // A caller that stopped waiting does not want to know.
        let _ = self.0.send(result);
    }
}
