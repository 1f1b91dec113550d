//! A door in front of a real server that lets every call of the `Cluster` service through, and changes what the server says of
//! itself on its way out: so a member can be seen as one of an older version, or as one with a wrong clock.

use std::{
    convert::Infallible,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use gantry_client::v1::{StatusRequest, StatusResponse, cluster_client::ClusterClient};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

const HELD: &str = "nobody panics while it is held";

/// Makes what is so into what is said.
type Lie = fn(&mut StatusResponse);

pub struct Pretender {
    /// Where it is called.
    pub addr: String,
    lie: Arc<Mutex<Lie>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Pretender {
    /// In front of the server at `real`, and honest for now.
    pub async fn before(real: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = listener.local_addr().expect("it has an address").to_string();
        let to = Endpoint::from_shared(format!("http://{real}")).expect("an address").connect_lazy();
        let lie: Arc<Mutex<Lie>> = Arc::new(Mutex::new(|_| {}));
        let door = Door { to, lie: Arc::clone(&lie) };
        let serving = tokio::spawn(async move {
            let served = Server::builder().add_service(door).serve_with_incoming(TcpIncoming::from(listener)).await;
            served.expect("a local listener does not fail");
        });
        Self { addr, lie, serving }
    }

    pub fn says(&self, lie: Lie) {
        *self.lie.lock().expect(HELD) = lie;
    }

    /// Nobody answers any more.
    pub fn is_gone(&self) {
        self.serving.abort();
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Door {
    to: Channel,
    lie: Arc<Mutex<Lie>>,
}

impl NamedService for Door {
    const NAME: &'static str = "gantry.v1.Cluster";
}

impl Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut door = self.clone();
        Box::pin(async move {
            if request.uri().path().ends_with("/Status") {
                let codec = tonic_prost::ProstCodec::<StatusResponse, StatusRequest>::default();
                return Ok(Grpc::new(codec).unary(door, request).await);
            }
            let passed = match poll_fn(|context| door.to.poll_ready(context)).await {
                Ok(()) => door.to.call(request).await,
                Err(error) => Err(error),
            };
            Ok(passed.unwrap_or_else(|error| Status::unavailable(error.to_string()).into_http()))
        })
    }
}

impl UnaryService<StatusRequest> for Door {
    type Response = StatusResponse;
    type Future = BoxFuture<Response<StatusResponse>, Status>;

    fn call(&mut self, request: Request<StatusRequest>) -> Self::Future {
        let Self { to, lie } = self.clone();
        Box::pin(async move {
            let mut response = ClusterClient::new(to).status(request.into_inner()).await?;
            let lie = *lie.lock().expect(HELD);
            lie(response.get_mut());
            Ok(response)
        })
    }
}
