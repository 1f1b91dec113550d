//! Passes calls on to the leader, as they are: one place for every RPC, unary or streaming, without decoding any.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use gantry_consensus::{Consensus, Member};
use gantry_proto::{WireError, header};
use http::{HeaderValue, Request, Response};
use parking_lot::Mutex;
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Layer, Service};

/// Marks a call that was passed on once. It is not passed on again: two nodes that disagree about the leader would play
/// ping-pong with it.
const FORWARDED_KEY: &str = "gantry-forwarded";
/// Calls that the called node answers itself.
const LOCAL_PREFIXES: &[&str] = &[
    "/gantry.v1.Cluster/Status",
    "/gantry.v1.Cluster/Init",
    "/gantry.v1.Cluster/Join",
    "/gantry.v1.Maintenance/Backup",
    "/gantry.v1.Watch/",
    "/grpc.",
];
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const KEEPALIVE: Duration = Duration::from_secs(2);
/// HTTP/2 windows towards the leader. All callers of this node share the one connection, and what a caller leaves unread
/// takes from its window: one that stalls must not stop the others. So a stream's window is a small part of it, yet far
/// more than a round trip carries in answers; 64 stalled streams are what it takes.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// Channels to other members, by their client address. Members are few and addresses do not change often.
type Channels = Arc<Mutex<BTreeMap<String, Channel>>>;

#[derive(Clone, Debug)]
pub(crate) struct ForwardLayer {
    consensus: Consensus,
    channels: Channels,
}

impl ForwardLayer {
    pub(crate) fn new(consensus: Consensus) -> Self {
        Self { consensus, channels: Channels::default() }
    }
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Forward<S> {
        Forward { inner, consensus: self.consensus.clone(), channels: Arc::clone(&self.channels) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Forward<S> {
    inner: S,
    consensus: Consensus,
    channels: Channels,
}

enum Route {
    Here,
    Leader(Member),
    Nowhere,
}

impl<S> Service<Request<Body>> for Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.route(&request) {
            Route::Here => Box::pin(self.inner.call(request)),
            Route::Nowhere => Box::pin(async { Ok(refusal(WireError::not_leader(None))) }),
            Route::Leader(leader) => {
                let channel = self.channel(&leader);
                Box::pin(async move { Ok(pass_on(channel, request, &leader).await) })
            }
        }
    }
}

impl<S> Forward<S> {
    fn route(&self, request: &Request<Body>) -> Route {
        let path = request.uri().path();
        let headers = request.headers();
        if LOCAL_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
            || headers.contains_key(FORWARDED_KEY)
            || headers.get(header::READ).is_some_and(|value| value == header::READ_LOCAL)
        {
            return Route::Here;
        }
        let role = self.consensus.role();
        let role = role.borrow();
        match &role.leader {
            _ if role.is_leader => Route::Here,
            // Elected, but not yet sure of its state: the services say so.
            Some(leader) if leader.id == role.node_id => Route::Here,
            Some(leader) => Route::Leader(leader.clone()),
            None => Route::Nowhere,
        }
    }

    fn channel(&self, leader: &Member) -> Result<Channel, String> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(&leader.client_addr) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", leader.client_addr)).map_err(|e| e.to_string())?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .connect_lazy();
        channels.insert(leader.client_addr.clone(), channel.clone());
        Ok(channel)
    }
}

async fn pass_on(channel: Result<Channel, String>, mut request: Request<Body>, leader: &Member) -> Response<Body> {
    let mut channel = match channel {
        Ok(channel) => channel,
        Err(why) => {
            tracing::error!(leader = leader.id, addr = leader.client_addr, why, "the leader's address is unusable");
            return refusal(WireError::not_leader(Some(&leader.client_addr)));
        }
    };
    request.headers_mut().insert(FORWARDED_KEY, HeaderValue::from_static("1"));
    let ready = std::future::poll_fn(|context| channel.poll_ready(context)).await;
    if let Err(error) = ready {
        // Nothing was sent.
        tracing::debug!(leader = leader.id, %error, "the leader cannot be reached");
        return refusal(WireError::not_leader(None));
    }
    match channel.call(request).await {
        Ok(mut response) => {
            // The next call can go there at once.
            if let Ok(leader) = HeaderValue::from_str(&leader.client_addr) {
                response.headers_mut().insert(header::LEADER, leader);
            }
            response
        }
        Err(error) => refusal(WireError::outcome_unknown(format!("the call to the leader broke: {error}"))),
    }
}

fn refusal(error: WireError) -> Response<Body> {
    Status::from(error).into_http()
}
