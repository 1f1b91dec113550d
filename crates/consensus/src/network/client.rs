//! The consensus library's way to one peer.

use std::{future::Future, time::Duration};

use futures::Stream;
use gantry_store::{Log, SnapshotFile};
use openraft::{
    OptionalSend, RaftNetworkFactory,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RPCTypes},
    raft::{
        AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    },
};
use tonic::{Code, Response, Status};

use super::{
    Link, append,
    heartbeat::{HeartbeatStream, Silence},
    peers::{Peers, Purpose},
    snapshot,
};
use crate::{
    machine::RaftSnapshot,
    raft_types::{Addresses, Types, Vote},
    wire::{self, Malformed, proto::raft_client::RaftClient},
};

pub(super) type AppendStream<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

/// Makes clients for peers.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    me: u64,
    peers: Peers,
    log: Log,
    send_bytes_per_second: u64,
}

impl Network {
    /// Sends snapshots no faster than it is told.
    pub(crate) fn new(me: u64, peers: Peers, log: Log, send_bytes_per_second: u64) -> Self {
        Self { me, peers, log, send_bytes_per_second }
    }

    fn client(&self, target: u64, addresses: &Addresses, purpose: Purpose) -> PeerClient {
        let (peers, addr) = (self.peers.clone(), addresses.raft.clone());
        peers.note_addresses([(target, addr.clone())]);
        let Self { me, send_bytes_per_second, .. } = *self;
        PeerClient {
            me,
            target,
            addr,
            purpose,
            peers,
            log: self.log.clone(),
            send_bytes_per_second,
            heartbeat: None,
            silence: Silence::default(),
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, addresses: &Addresses) -> PeerClient {
        self.client(target, addresses, Purpose::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, addresses: &Addresses) -> PeerClient {
        self.client(target, addresses, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, addresses: &Addresses) -> PeerClient {
        self.client(target, addresses, Purpose::Snapshot)
    }
}

/// One peer, for one purpose.
pub(crate) struct PeerClient {
    me: u64,
    pub(super) target: u64,
    addr: String,
    purpose: Purpose,
    pub(super) peers: Peers,
    /// What is sent comes from it.
    pub(super) log: Log,
    pub(super) send_bytes_per_second: u64,
    pub(super) heartbeat: Option<HeartbeatStream>,
    pub(super) silence: Silence,
}

impl PeerClient {
    pub(super) fn connect(&self) -> Result<RaftClient<Link>, RPCError<Types>> {
        // A member may have moved since this client was made.
        let addr = self.peers.address(self.target);
        let client = self.peers.client(addr.as_deref().unwrap_or(&self.addr), self.purpose);
        client.map_err(|error| RPCError::Unreachable(Unreachable::new(&Status::from_error(error))))
    }

    /// A call with one answer.
    async fn call<T, F>(&self, kind: RPCTypes, option: &RPCOption, call: F) -> Result<T, RPCError<Types>>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let timeout = option.soft_ttl();
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failed(&status)),
            Err(_) => Err(self.timed_out(kind, timeout)),
        }
    }

    pub(super) fn timed_out(&self, action: RPCTypes, timeout: Duration) -> RPCError<Types> {
        RPCError::Timeout(Timeout { action, id: self.me, target: self.target, timeout })
    }

    pub(super) fn check(&self, peer: Option<&wire::proto::Peer>) -> Result<(), RPCError<Types>> {
        self.peers.check_answer(peer, self.target).map_err(|status| failed(&status))
    }
}

/// Says whether to try again at once or to wait: a peer that is down or refuses us will not change its mind in a moment.
pub(super) fn failed(status: &Status) -> RPCError<Types> {
    match status.code() {
        Code::Unavailable
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::InvalidArgument
        | Code::ResourceExhausted => RPCError::Unreachable(Unreachable::new(status)),
        _ => RPCError::Network(NetworkError::new(status)),
    }
}

pub(super) fn malformed(error: Malformed) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&error))
}

impl NetBackoff<Types> for PeerClient {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetVote<Types> for PeerClient {
    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let mut client = self.connect()?;
        let request = wire::vote_to_wire(&request, self.peers.introduce(self.target));
        let response = self.call(RPCTypes::Vote, &option, client.request_vote(request)).await?;
        self.check(response.peer.as_ref())?;
        wire::voted_from_wire(response).map_err(malformed)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let mut client = self.connect()?;
        let request = wire::vote_to_wire(&request, self.peers.introduce(self.target));
        let response = self.call(RPCTypes::Vote, &option, client.pre_vote(request)).await?;
        self.check(response.peer.as_ref())?;
        wire::voted_from_wire(response).map_err(malformed)
    }
}

impl NetTransferLeader<Types> for PeerClient {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let mut client = self.connect()?;
        let request = wire::transfer_to_wire(&request, self.peers.introduce(self.target));
        let response = self.call(RPCTypes::TransferLeader, &option, client.transfer_leader(request)).await?;
        self.check(response.peer.as_ref())?;
        wire::transferred_from_wire(response).map_err(malformed)
    }
}

impl NetStreamAppend<Types> for PeerClient {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendStream<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        match self.purpose {
            Purpose::Heartbeat => Box::pin(async move { Ok(self.heartbeats(input, option)) }),
            Purpose::Append | Purpose::Snapshot => Box::pin(append::open(self, input)),
        }
    }
}

impl NetSnapshot<Types> for PeerClient {
    type SnapshotData = SnapshotFile;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            biased;
            sent = snapshot::send(self, vote, snapshot.snapshot) => sent,
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }
}
