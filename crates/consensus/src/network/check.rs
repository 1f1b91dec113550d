//! Comparing states: the calls between members.

use std::time::Duration;

use bytes::Bytes;
use gantry_store::Member;
use gantry_types::Rev;
use tonic::{Request, Response, Status};

use super::{Link, Peers};
use crate::{
    verify::Verifier,
    wire::proto::{
        CheckRequest, CondemnRequest, CondemnResponse, FetchResponse, Peer, WantResponse,
        check_client::CheckClient as Generated, check_server::Check,
    },
};

/// For an answer that a member has at once, ...
const AT_ONCE: Duration = Duration::from_secs(3);
/// ... and for one that is a pass over its whole state.
const A_PASS: Duration = Duration::from_secs(70);

#[derive(Clone)]
pub(super) struct CheckService {
    pub(super) verifier: Verifier,
}

impl CheckService {
    fn admit(&self, peer: Option<Peer>) -> Result<Option<Peer>, Status> {
        let peers = &self.verifier.peers;
        peers.admit(peer).map(|from| Some(peers.introduce(from)))
    }
}

#[tonic::async_trait]
impl Check for CheckService {
    async fn want(&self, request: Request<CheckRequest>) -> Result<Response<WantResponse>, Status> {
        let CheckRequest { peer, rev } = request.into_inner();
        let peer = self.admit(peer)?;
        Ok(Response::new(WantResponse { peer, in_time: self.verifier.checkpoints.want(rev) }))
    }

    async fn fetch(&self, request: Request<CheckRequest>) -> Result<Response<FetchResponse>, Status> {
        let CheckRequest { peer, rev } = request.into_inner();
        let peer = self.admit(peer)?;
        let hash = self.verifier.checkpoints.fetch(rev).await.map_err(Status::data_loss)?;
        Ok(Response::new(FetchResponse { peer, hash: Bytes::copy_from_slice(&hash.to_be_bytes()) }))
    }

    async fn condemn(&self, request: Request<CondemnRequest>) -> Result<Response<CondemnResponse>, Status> {
        let CondemnRequest { peer, rev, hash } = request.into_inner();
        let peer = self.admit(peer)?;
        let hash = hash_of(&hash).ok_or_else(|| Status::invalid_argument("a hash has 16 bytes"))?;
        if !self.verifier.condemned(rev, hash) {
            return Err(Status::failed_precondition(format!("this node has no other hash at rev {rev}")));
        }
        Ok(Response::new(CondemnResponse { peer }))
    }
}

fn hash_of(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

/// One member, to be asked. Uses a connection of its own: a comparison is rare.
#[derive(Debug)]
pub(crate) struct CheckClient {
    id: u64,
    peers: Peers,
    link: Result<Link, String>,
}

impl CheckClient {
    pub(crate) fn new(peers: &Peers, member: &Member) -> Self {
        let link = peers.connect(&member.raft_addr).map_err(|error| error.to_string());
        Self { id: member.id, peers: peers.clone(), link }
    }

    pub(crate) async fn want(&self, rev: Rev) -> Result<bool, String> {
        let mut client = self.client()?;
        let request = CheckRequest { peer: Some(self.peers.introduce(self.id)), rev };
        let answer = within(AT_ONCE, client.want(request)).await?;
        self.check(answer.peer.as_ref())?;
        Ok(answer.in_time)
    }

    pub(crate) async fn fetch(&self, rev: Rev) -> Result<u128, String> {
        let mut client = self.client()?;
        let request = CheckRequest { peer: Some(self.peers.introduce(self.id)), rev };
        let answer = within(A_PASS, client.fetch(request)).await?;
        self.check(answer.peer.as_ref())?;
        hash_of(&answer.hash).ok_or_else(|| "it answered with something that is no hash".to_owned())
    }

    pub(crate) async fn condemn(&self, rev: Rev, hash: u128) -> Result<(), String> {
        let mut client = self.client()?;
        let hash = Bytes::copy_from_slice(&hash.to_be_bytes());
        let request = CondemnRequest { peer: Some(self.peers.introduce(self.id)), rev, hash };
        let answer = within(AT_ONCE, client.condemn(request)).await?;
        self.check(answer.peer.as_ref())
    }

    fn client(&self) -> Result<Generated<Link>, String> {
        self.link.clone().map(Generated::new)
    }

    fn check(&self, peer: Option<&Peer>) -> Result<(), String> {
        self.peers.check_answer(peer, self.id).map_err(|status| status.message().to_owned())
    }
}

async fn within<T>(patience: Duration, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, String> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(format!("it cannot be asked: {}", status.message())),
        Err(_) => Err(format!("it did not answer in {} s", patience.as_secs())),
    }
}
