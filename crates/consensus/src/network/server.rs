//! The follower's side: answers its peers.

use std::{future::Future, pin::Pin, sync::Arc};

use futures::{Stream, StreamExt, stream};
use gantry_store::{Log, Offered, Vote, watch};
use openraft::raft::AppendEntriesRequest;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use super::{
    CONNECTION_WINDOW_BYTES, KEEPALIVE, KEEPALIVE_TIMEOUT, MESSAGE_BYTES, STREAM_WINDOW_BYTES, STREAMS_PER_CONNECTION,
    check::CheckService, peers::Peers, snapshot,
};
use crate::{
    convert::stored_vote,
    machine::raft_snapshot,
    raft_types::{Raft, Types},
    verify::Verifier,
    wire::{
        self, Malformed,
        proto::{
            AppendRequest, AppendResponse, GreetRequest, GreetResponse, Peer, SnapshotOffer, SnapshotOfferResponse,
            SnapshotRequest, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
            VoteResponse,
            check_server::CheckServer,
            raft_server::{Raft as RaftService, RaftServer},
        },
    },
};

/// Serves the members until `shutdown`.
pub(crate) async fn serve(
    raft: Raft,
    log: Log,
    peers: Peers,
    verifier: Verifier,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let (stop, stopping) = watch::channel(false);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes(raft, log, peers, verifier, stopping))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            shutdown.await;
            // Append streams have no end of their own.
            stop.send_replace(true);
        })
        .await
}

/// What answers the members, wherever the calls come from, until `stopping`.
pub(crate) fn routes(
    raft: Raft,
    log: Log,
    peers: Peers,
    verifier: Verifier,
    stopping: watch::Receiver<bool>,
) -> Routes {
    let raft = RaftServer::new(Service { raft, log, peers, stopping });
    let raft = raft.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES);
    Routes::new(raft).add_service(CheckServer::new(CheckService { verifier }))
}

#[derive(Clone)]
struct Service {
    raft: Raft,
    log: Log,
    peers: Peers,
    /// True, or its sender gone, once the node is stopping.
    stopping: watch::Receiver<bool>,
}

fn refused(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this node has stopped: {error}"))
}

impl Service {
    /// Lets the caller in, and says how to introduce this node to it.
    fn admit(&self, peer: Option<Peer>) -> Result<Peer, Status> {
        self.peers.admit(peer).map(|from| self.peers.introduce(from))
    }

    /// Feeds a stream of requests to the library, and gives its answers.
    fn answers(self, mut rest: Streaming<AppendRequest>) -> impl Stream<Item = Result<AppendResponse, Status>> + Send {
        async_stream::try_stream! {
            let first = self.unless_stopping(rest.message()).await??;
            let Some(mut first) = first else { return };
            let mut peer = Some(self.admit(first.peer.take())?);
            let ended = Ended::default();
            let mut results = std::pin::pin!(self.raft.stream_append(requests(first, rest, ended.clone())));
            while let Some(result) = self.unless_stopping(results.next()).await? {
                let answer = wire::appended_to_wire(result.map_err(stopped)?, peer.take());
                yield AppendResponse { disk: Some(self.peers.disks().own()), ..answer };
            }
            let why = ended.0.lock().take();
            why.map_or(Ok(()), Err)?;
        }
    }

    /// An append stream has no end of its own, so it must not outlast the node.
    async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Result<T, Status> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err(Status::unavailable("this node is stopping")),
            done = work => Ok(done),
        }
    }
}

/// Why a stream of requests ended early, told to the caller after the answers to what came before.
#[derive(Clone, Default)]
struct Ended(Arc<Mutex<Option<Status>>>);

impl Ended {
    fn because(&self, status: Status) {
        *self.0.lock() = Some(status);
    }
}

/// The requests of a stream as the library takes them. Ends at the first that cannot be read.
fn requests(
    first: AppendRequest,
    rest: Streaming<AppendRequest>,
    ended: Ended,
) -> impl Stream<Item = AppendEntriesRequest<Types>> + Send + 'static {
    let all = stream::once(async { Ok(first) }).chain(rest);
    Box::pin(all).map(|request| request.and_then(|request| wire::append_from_wire(request).map_err(refused))).scan(
        ended,
        |ended, request| {
            let request = request.inspect_err(|status| ended.because(status.clone())).ok();
            async move { request }
        },
    )
}

type AppendStream = Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>;

#[tonic::async_trait]
impl RaftService for Service {
    type AppendStream = AppendStream;

    async fn append(&self, request: Request<Streaming<AppendRequest>>) -> Result<Response<AppendStream>, Status> {
        // Answered at once: an idle leader opens its stream long before it has something to say.
        Ok(Response::new(Box::pin(self.clone().answers(request.into_inner()))))
    }

    async fn request_vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let mut request = request.into_inner();
        let peer = self.admit(request.peer.take())?;
        let voted = self.raft.vote(wire::vote_from_wire(request).map_err(refused)?).await.map_err(stopped)?;
        Ok(Response::new(wire::voted_to_wire(&voted, peer)))
    }

    async fn pre_vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let mut request = request.into_inner();
        let peer = self.admit(request.peer.take())?;
        let request = wire::vote_from_wire(request).map_err(refused)?;
        let wanted = stored_vote(&request.vote);
        let voted = self.raft.pre_vote(request).await.map_err(stopped)?;
        if voted.vote_granted {
            // The election follows, once the candidate's own vote is durable.
            self.log.expect_vote(wanted);
        }
        Ok(Response::new(wire::voted_to_wire(&voted, peer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let mut request = request.into_inner();
        let peer = self.admit(request.peer.take())?;
        // Who is told to lead asks for everybody's vote in the next term.
        let next = request.from_leader.and_then(|from| from.term.checked_add(1));
        let wanted = next.map(|term| Vote { term, node: request.to, committed: false });
        let request = wire::transfer_from_wire(request).map_err(refused)?;
        let result = self.raft.handle_transfer_leader(request).await.map_err(stopped)?;
        if let (Ok(()), Some(wanted)) = (&result, wanted) {
            self.log.expect_vote(wanted);
        }
        Ok(Response::new(wire::transferred_to_wire(result, peer)))
    }

    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetResponse>, Status> {
        let from = self.peers.recognise(request.into_inner().peer)?.from;
        Ok(Response::new(GreetResponse { peer: Some(self.peers.introduce(from)) }))
    }

    async fn offer_snapshot(&self, request: Request<SnapshotOffer>) -> Result<Response<SnapshotOfferResponse>, Status> {
        let SnapshotOffer { peer, position, size_bytes } = request.into_inner();
        let peer = self.admit(peer)?;
        let received_bytes = self.peers.snapshots().received_of(Offered { position, size_bytes });
        Ok(Response::new(SnapshotOfferResponse { peer: Some(peer), received_bytes }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotRequest>>,
    ) -> Result<Response<SnapshotResponse>, Status> {
        let mut requests = request.into_inner();
        let mut announced = snapshot::receive_header(&mut requests).await?;
        let peer = self.admit(announced.peer.take())?;
        let vote = announced.vote;
        let file = snapshot::receive_file(requests, self.peers.snapshots(), &announced).await?;
        let snapshot = raft_snapshot(file).map_err(|error| Status::data_loss(error.to_string()))?;
        // The library takes this for granted, and would stop the node where it does not hold.
        if snapshot.meta.last_log_id.is_some_and(|last| last.leader_id > vote.leader_id) {
            return Err(Status::invalid_argument("the snapshot is of a later leader than the one who sends it"));
        }
        let installed = self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(SnapshotResponse { peer: Some(peer), vote: Some(stored_vote(&installed.vote)) }))
    }
}
