//! The way to the other members: TCP, or what a simulation has for a network.

use std::{
    fmt::Debug,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::{Service, StdError, http},
    transport::{Channel, Endpoint},
};

use super::{CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, KEEPALIVE, KEEPALIVE_TIMEOUT, STREAM_WINDOW_BYTES};

/// A call to a member, as it travels: gRPC over HTTP.
pub type PeerCall = http::Request<Body>;
/// What comes back, or why nothing does.
pub type PeerAnswer = Result<http::Response<Body>, StdError>;
pub type Answering = Pin<Box<dyn Future<Output = PeerAnswer> + Send>>;

/// Makes connections to members.
pub trait Transport: Debug + Send + Sync {
    /// To whoever listens at `addr`, `host:port`. Nothing is sent before it is used; it is made again when it breaks.
    fn connect(&self, addr: &str) -> Result<Link, StdError>;
}

/// A connection that is no socket.
pub trait Carrier: Debug + Send + Sync {
    fn carry(&self, call: PeerCall) -> Answering;
}

/// One connection. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub enum Link {
    Tcp(Channel),
    Carried(Arc<dyn Carrier>),
}

impl Service<PeerCall> for Link {
    type Response = http::Response<Body>;
    type Error = StdError;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        match self {
            Self::Tcp(channel) => channel.poll_ready(context).map_err(StdError::from),
            Self::Carried(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, call: PeerCall) -> Answering {
        match self {
            Self::Tcp(channel) => {
                let answering = channel.call(call);
                Box::pin(async move { Ok(answering.await?) })
            }
            Self::Carried(carrier) => carrier.carry(call),
        }
    }
}

/// HTTP/2 over TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect(&self, addr: &str) -> Result<Link, StdError> {
        let endpoint = Endpoint::from_shared(format!("http://{addr}"))?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Link::Tcp(endpoint.connect_lazy()))
    }
}
