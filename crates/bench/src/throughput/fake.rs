//! A server that places everything at once and keeps nothing but a count, for tests of the load.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
};

use futures::{Stream, StreamExt};
use gantry_proto::v1::{
    self,
    place_stream_request::Call,
    place_stream_response::Result as Said,
    placement_server::{Placement, PlacementServer},
};
use parking_lot::Mutex;
use tonic::{Request, Response, Status, Streaming};

#[derive(Debug, Default)]
pub struct Seen {
    last: AtomicU64,
    standing: Mutex<HashSet<u64>>,
    requests: Mutex<HashSet<String>>,
}

impl Seen {
    pub fn standing(&self) -> HashSet<u64> {
        self.standing.lock().clone()
    }

    fn place(&self, request: &v1::PlaceRequest) -> Result<v1::PlaceResponse, Status> {
        if !self.requests.lock().insert(request.request_id.clone()) {
            return Err(Status::already_exists("this request id was used before"));
        }
        let id = self.last.fetch_add(1, Relaxed) + 1;
        // Every hundredth is refused, as by a full fleet.
        if id.is_multiple_of(100) {
            return Err(gantry_proto::WireError::overloaded("calls").into());
        }
        self.standing.lock().insert(id);
        let reservation = v1::Reservation { id, fence: id * 2, host: "h".into(), ..Default::default() };
        Ok(v1::PlaceResponse { rev: id, reservations: vec![reservation], ..Default::default() })
    }

    fn release(&self, request: &v1::ReleaseRequest) -> Result<v1::ReleaseResponse, Status> {
        let mut standing = self.standing.lock();
        match request.reservation_ids.iter().all(|id| standing.remove(id)) {
            true => Ok(v1::ReleaseResponse { rev: 1 }),
            false => Err(Status::not_found("released twice")),
        }
    }
}

#[derive(Debug, Clone)]
struct Fake(Arc<Seen>);

type Answers = Pin<Box<dyn Stream<Item = Result<v1::PlaceStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Placement for Fake {
    type PlaceStreamStream = Answers;

    async fn place(&self, request: Request<v1::PlaceRequest>) -> Result<Response<v1::PlaceResponse>, Status> {
        self.0.place(request.get_ref()).map(Response::new)
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        self.0.release(request.get_ref()).map(Response::new)
    }

    async fn place_stream(
        &self,
        request: Request<Streaming<v1::PlaceStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let seen = Arc::clone(&self.0);
        let answers = request.into_inner().map(move |call| {
            let call = call?;
            let said = match call.call {
                Some(Call::Place(place)) => seen.place(&place).map(Said::Placed),
                Some(Call::Release(release)) => seen.release(&release).map(Said::Released),
                None => Err(Status::invalid_argument("no call")),
            };
            let said =
                said.unwrap_or_else(|status| Said::Failure(gantry_proto::WireError::from(&status).into_failure()));
            Ok(v1::PlaceStreamResponse { tag: call.tag, result: Some(said) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn place_many(&self, _: Request<v1::PlaceManyRequest>) -> Result<Response<v1::PlaceManyResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }

    async fn renew(&self, _: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }

    async fn list(&self, _: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }

    async fn explain(&self, _: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }

    async fn set_policy(&self, _: Request<v1::SetPolicyRequest>) -> Result<Response<v1::SetPolicyResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }

    async fn get_policy(&self, _: Request<v1::GetPolicyRequest>) -> Result<Response<v1::GetPolicyResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }

    async fn list_policies(
        &self,
        _: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        Err(Status::unimplemented("the load does not call it"))
    }
}

/// Serves in the background; answers the address and what is seen.
pub async fn serve() -> (String, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = PlacementServer::new(Fake(Arc::clone(&seen)));
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    (addr, seen)
}
