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
use tokio::{sync::Semaphore, time::Instant};
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Layer, Service};

/// Marks a call that was passed on once. It is not passed on again: two nodes that disagree about the leader would play
/// ping-pong with it.
const FORWARDED_KEY: &str = "gantry-forwarded";
/// On a call that was passed on: the id of the cluster that it is meant for.
const CLUSTER_KEY: &str = "gantry-cluster";
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
/// How long a call may wait for a leader to be elected: then its caller had better look elsewhere.
const ELECTED_WITHIN: Duration = Duration::from_secs(1);
/// Calls that may wait for that at a time; more are refused at once.
const WAITING: usize = 16_384;
/// How long an answer of a leader that was replaced may still come.
const LAST_WORD: Duration = Duration::from_millis(100);
/// HTTP/2 windows towards the leader. All callers of this node share the one connection, and what a caller leaves unread
/// takes from its window: one that stalls must not stop the others. So a stream's window is a small part of it, yet far
/// more than a round trip carries in answers; 64 stalled streams are what it takes.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// Channels to other members, by their client address. Members are few and addresses do not change often.
type Channels = Arc<Mutex<BTreeMap<String, Channel>>>;

/// The way to the leader.
#[derive(Clone, Debug)]
struct Way {
    consensus: Consensus,
    channels: Channels,
    waiting: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
pub(crate) struct ForwardLayer {
    way: Way,
}

impl ForwardLayer {
    pub(crate) fn new(consensus: Consensus) -> Self {
        let (channels, waiting) = (Channels::default(), Arc::new(Semaphore::new(WAITING)));
        Self { way: Way { consensus, channels, waiting } }
    }
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Forward<S> {
        Forward { inner, way: self.way.clone() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Forward<S> {
    inner: S,
    way: Way,
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
        if let Err(stranger) = self.way.check_sender(&request) {
            let refused = refusal(&request, stranger);
            return Box::pin(async { Ok(refused) });
        }
        if is_local(&request) {
            return Box::pin(self.inner.call(request));
        }
        match self.way.route() {
            Route::Here => Box::pin(self.inner.call(request)),
            route => {
                let (way, inner) = (self.way.clone(), self.inner.clone());
                Box::pin(way.pass_on(route, request, inner))
            }
        }
    }
}

/// Calls that the called node answers itself.
fn is_local(request: &Request<Body>) -> bool {
    let (path, headers) = (request.uri().path(), request.headers());
    LOCAL_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
        || headers.contains_key(FORWARDED_KEY)
        || headers.get(header::READ).is_some_and(|value| value == header::READ_LOCAL)
}

impl Way {
    fn route(&self) -> Route {
        let role = self.consensus.role();
        let role = role.borrow();
        match &role.leader {
            _ if role.is_leader || role.is_settling => Route::Here,
            // Elected, but not yet sure of its state: the services say so.
            Some(leader) if leader.id == role.node_id => Route::Here,
            Some(leader) => Route::Leader(leader.clone()),
            None => Route::Nowhere,
        }
    }

    /// An address that now belongs to a node of another cluster must not be mistaken for the leader that had it.
    fn check_sender(&self, request: &Request<Body>) -> Result<(), WireError> {
        let Some(sender) = request.headers().get(CLUSTER_KEY) else { return Ok(()) };
        if sender.as_bytes() == self.cluster().as_bytes() {
            return Ok(());
        }
        tracing::warn!(
            "a member of another cluster passed a call on to this node: check its members' client addresses"
        );
        Err(WireError::not_leader(None))
    }

    fn cluster(&self) -> String {
        format!("{:016x}", self.consensus.cluster_id())
    }

    /// Sends the call to the leader, once there is one that can be reached.
    async fn pass_on<S>(
        self,
        mut route: Route,
        request: Request<Body>,
        mut inner: S,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let deadline = Instant::now() + ELECTED_WITHIN;
        loop {
            let gone = match route {
                Route::Here => {
                    std::future::poll_fn(|context| inner.poll_ready(context)).await?;
                    return inner.call(request).await;
                }
                Route::Leader(leader) => match self.reach(&leader).await {
                    Ok(channel) => return Ok(self.send(channel, request, &leader).await),
                    // Nothing was sent.
                    Err(why) => {
                        tracing::debug!(
                            leader = leader.id,
                            addr = leader.client_addr,
                            why,
                            "the leader is not reached"
                        );
                        Some(leader.id)
                    }
                },
                Route::Nowhere => None,
            };
            match self.elected(gone, deadline).await {
                Some(next) => route = next,
                None => return Ok(refusal(&request, WireError::not_leader(None))),
            }
        }
    }

    /// Waits for a leader, another one than `gone`. Nobody waits at a node that may never hear of one: it is no member, or
    /// the others do not answer it.
    async fn elected(&self, gone: Option<u64>, deadline: Instant) -> Option<Route> {
        let _place = self.waiting.try_acquire().ok()?;
        if self.consensus.cluster_id() == 0 {
            return None;
        }
        let mut role = self.consensus.role();
        let news = role.wait_for(|role| {
            let other = role.leader.as_ref().is_some_and(|leader| Some(leader.id) != gone);
            role.is_leader || role.is_cut_off || other
        });
        let is_cut_off = tokio::time::timeout_at(deadline, news).await.ok()?.ok()?.is_cut_off;
        if is_cut_off { None } else { Some(self.route()) }
    }

    async fn reach(&self, leader: &Member) -> Result<Channel, String> {
        let mut channel = self.channel(leader)?;
        let ready = std::future::poll_fn(|context| channel.poll_ready(context)).await;
        ready.map(|()| channel).map_err(|error| error.to_string())
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

    async fn send(&self, mut channel: Channel, mut request: Request<Body>, leader: &Member) -> Response<Body> {
        let Ok(cluster) = HeaderValue::from_str(&self.cluster()) else {
            return refusal(&request, WireError::internal("a cluster id is no header".to_owned()));
        };
        let is_grpc = is_grpc(&request);
        request.headers_mut().insert(FORWARDED_KEY, HeaderValue::from_static("1"));
        request.headers_mut().insert(CLUSTER_KEY, cluster);
        let called = tokio::select! {
            called = channel.call(request) => called.map_err(|error| format!("the call to the leader broke: {error}")),
            () = self.replaced(leader.id) => Err("another node leads since it was passed on".to_owned()),
        };
        match called {
            Ok(mut response) => {
                // The next call can go there at once.
                if let Ok(leader) = HeaderValue::from_str(&leader.client_addr) {
                    response.headers_mut().insert(header::LEADER, leader);
                }
                response
            }
            Err(why) => refuse(is_grpc, WireError::outcome_unknown(why)),
        }
    }

    /// Ends a little after another node leads than `leader`, which may be cut off and never answer.
    async fn replaced(&self, leader: u64) {
        let mut role = self.consensus.role();
        let news = role.wait_for(|role| role.leader.as_ref().is_some_and(|other| other.id != leader));
        if news.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LAST_WORD).await;
    }
}

/// All other callers speak plain HTTP.
fn is_grpc(request: &Request<Body>) -> bool {
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn refusal(request: &Request<Body>, error: WireError) -> Response<Body> {
    refuse(is_grpc(request), error)
}

fn refuse(is_grpc: bool, error: WireError) -> Response<Body> {
    if is_grpc {
        return Status::from(error).into_http();
    }
    let mut response = Response::new(Body::new(axum::body::Body::from(error.message)));
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    response
}
