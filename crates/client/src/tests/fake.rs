//! A server that answers by a script, and remembers what it was asked.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use gantry_proto::{
    WireError, header,
    v1::{
        self, place_result,
        place_stream_request::Call,
        place_stream_response,
        placement_server::{Placement, PlacementServer},
    },
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap, transport::Server};

/// What the server does with one call. Once the script is over, it answers.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Answer,
    Fail(WireError),
    /// Fails the stream that the call is on, where it is on one.
    End(WireError),
    /// A status as a proxy or a dying connection gives it.
    Foreign(tonic::Code),
    /// Takes the call and never answers.
    Hang,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) request_id: String,
    pub(super) has_deadline: bool,
    pub(super) local_read: bool,
}

#[derive(Clone, Default)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Named in the metadata of every answer.
    leader: Option<String>,
}

pub(super) struct Fake {
    pub(super) address: String,
    script: Script,
}

impl Fake {
    pub(super) async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::naming(None, steps).await
    }

    /// A server whose answers name a leader.
    pub(super) async fn naming(leader: Option<String>, steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let steps = Arc::new(Mutex::new(steps.into_iter().collect()));
        let script = Script { steps, leader, ..Script::default() };
        let service = PlacementServer::new(script.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, script }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().clone()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.request_id).collect()
    }
}

/// An address where nothing listens.
pub(super) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Script {
    fn note(&self, request_id: &str, metadata: &MetadataMap) {
        self.seen.lock().push(Seen {
            request_id: request_id.to_owned(),
            has_deadline: metadata.contains_key("grpc-timeout"),
            local_read: metadata.get(header::READ).is_some_and(|value| value == header::READ_LOCAL),
        });
    }

    fn next(&self) -> Step {
        self.steps.lock().pop_front().unwrap_or(Step::Answer)
    }

    async fn step(&self) -> Result<(), Status> {
        match self.next() {
            Step::Answer => Ok(()),
            Step::Fail(error) | Step::End(error) => Err(error.into()),
            Step::Foreign(code) => Err(Status::new(code, "not ours")),
            Step::Hang => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(())
            }
        }
    }

    fn answer<T>(&self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        if let Some(leader) = &self.leader {
            response.metadata_mut().insert(header::LEADER, leader.parse().unwrap());
        }
        response
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<v1::PlaceStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Placement for Script {
    type PlaceStreamStream = Answers;

    async fn place(&self, request: Request<v1::PlaceRequest>) -> Result<Response<v1::PlaceResponse>, Status> {
        self.note(&request.get_ref().request_id, request.metadata());
        self.step().await?;
        Ok(self.answer(v1::PlaceResponse { rev: 7, ..v1::PlaceResponse::default() }))
    }

    async fn place_many(
        &self,
        request: Request<v1::PlaceManyRequest>,
    ) -> Result<Response<v1::PlaceManyResponse>, Status> {
        let mut results = Vec::new();
        for place in &request.get_ref().requests {
            self.note(&place.request_id, request.metadata());
            let result = match self.next() {
                Step::Fail(error) => place_result::Result::Failure(error.into_failure()),
                Step::Foreign(code) => return Err(Status::new(code, "not ours")),
                _ => place_result::Result::Placed(v1::PlaceResponse::default()),
            };
            results.push(v1::PlaceResult { result: Some(result) });
        }
        Ok(self.answer(v1::PlaceManyResponse { rev: 7, results }))
    }

    async fn place_stream(
        &self,
        request: Request<Streaming<v1::PlaceStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (sender, answers) = mpsc::channel(64);
        let script = self.clone();
        let metadata = request.metadata().clone();
        let mut calls = request.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(call)) = calls.next().await {
                let id = match &call.call {
                    Some(Call::Place(place)) => &place.request_id,
                    Some(Call::Release(release)) => &release.request_id,
                    None => "",
                };
                script.note(id, &metadata);
                let result = match script.next() {
                    Step::Answer => place_stream_response::Result::Placed(v1::PlaceResponse::default()),
                    Step::Fail(error) => place_stream_response::Result::Failure(error.into_failure()),
                    Step::Foreign(code) => {
                        let _ = sender.send(Err(Status::new(code, "not ours"))).await;
                        return;
                    }
                    Step::End(error) => {
                        let _ = sender.send(Err(error.into())).await;
                        return;
                    }
                    Step::Hang => continue,
                };
                let _ = sender.send(Ok(v1::PlaceStreamResponse { tag: call.tag, result: Some(result) })).await;
            }
        });
        Ok(self.answer(Box::pin(ReceiverStream::new(answers))))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        self.note(&request.get_ref().request_id, request.metadata());
        self.step().await?;
        Ok(self.answer(v1::ReleaseResponse { rev: 7 }))
    }

    async fn renew(&self, _: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        Err(Status::unimplemented("renew"))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        self.note("", request.metadata());
        self.step().await?;
        Ok(self.answer(v1::GetResponse::default()))
    }

    async fn list(&self, _: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        Err(Status::unimplemented("list"))
    }

    async fn explain(&self, _: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        Err(Status::unimplemented("explain"))
    }

    async fn set_policy(&self, _: Request<v1::SetPolicyRequest>) -> Result<Response<v1::SetPolicyResponse>, Status> {
        Err(Status::unimplemented("set_policy"))
    }

    async fn get_policy(&self, _: Request<v1::GetPolicyRequest>) -> Result<Response<v1::GetPolicyResponse>, Status> {
        Err(Status::unimplemented("get_policy"))
    }

    async fn list_policies(
        &self,
        _: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        Err(Status::unimplemented("list_policies"))
    }
}
