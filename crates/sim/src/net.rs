//! The network between the nodes: calls and the pieces of their streams are delayed, lost, and held up while a link is cut.
//!
//! What travels is what production sends, gRPC messages over HTTP, so that it is encoded and read back. As over TCP, a stream
//! keeps its order and breaks as a whole; unlike over TCP, a call may also arrive a second time, much later.

mod stream;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use gantry_consensus::{Answering, Carrier, Link, PeerAnswer, PeerCall, Transport};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tonic::{
    Status,
    codegen::{Service, StdError},
    service::Routes,
};

use self::stream::Recorded;
use crate::chance::Chance;

/// Who is at the two ends.
type Way = (u64, u64);

/// How long it is tried to reach a node over a link that is cut.
const CONNECT: Duration = Duration::from_secs(1);
/// A stream whose link is cut for longer breaks.
const BREAKS_AFTER: Duration = Duration::from_secs(4);
/// How often it is looked whether a link is whole again.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A lost packet is sent again after a while.
const SENT_AGAIN_MS: (u64, u64) = (200, 900);
/// How late a second copy of a call may arrive.
const SECOND_COPY_MS: (u64, u64) = (1, 4_000);

/// Cheap to clone; all clones are one network.
#[derive(Clone, Debug)]
pub struct Net(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    chance: Chance,
    nodes: BTreeMap<u64, Endpoint>,
    cut: BTreeSet<Way>,
    weather: Weather,
}

/// Who listens at a node's address, while the node lives.
#[derive(Clone, Debug)]
struct Endpoint {
    life: u64,
    routes: Routes,
}

/// What the network does to everything that travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    pub delay_ms: (u64, u64),
    pub lost_permille: u64,
    pub twice_permille: u64,
}

impl Weather {
    pub const FAIR: Self = Self { delay_ms: (0, 1), lost_permille: 0, twice_permille: 0 };
}

/// Where a node listens.
pub fn address(node: u64) -> String {
    format!("node-{node}:1")
}

impl Net {
    pub fn new(chance: Chance) -> Self {
        let (nodes, cut) = (BTreeMap::new(), BTreeSet::new());
        Self(Arc::new(Mutex::new(State { chance, nodes, cut, weather: Weather::FAIR })))
    }

    /// A node begins to listen.
    pub fn listen(&self, node: u64, life: u64, routes: Routes) {
        self.0.lock().nodes.insert(node, Endpoint { life, routes });
    }

    /// A node is gone.
    pub fn hang_up(&self, node: u64) {
        self.0.lock().nodes.remove(&node);
    }

    /// Cuts the way from one node to another, not the way back.
    pub fn cut(&self, from: u64, to: u64) {
        self.0.lock().cut.insert((from, to));
    }

    /// Makes all links whole.
    pub fn mend(&self) {
        self.0.lock().cut.clear();
    }

    pub fn set_weather(&self, weather: Weather) {
        self.0.lock().weather = weather;
    }

    /// The network as a life of a node uses it.
    pub fn transport(&self, node: u64, life: u64) -> Arc<dyn Transport> {
        Arc::new(Seat { net: self.clone(), node, life })
    }

    fn is_cut(&self, way: Way) -> bool {
        self.0.lock().cut.contains(&way)
    }

    fn life(&self, node: u64) -> Option<u64> {
        self.0.lock().nodes.get(&node).map(|endpoint| endpoint.life)
    }

    fn endpoint(&self, node: u64) -> Option<Endpoint> {
        self.0.lock().nodes.get(&node).cloned()
    }

    /// How long the next piece takes on its way.
    fn delay(&self) -> Duration {
        let State { chance, weather, .. } = &mut *self.0.lock();
        let delay = chance.ms(weather.delay_ms.0, weather.delay_ms.1);
        let again = if chance.permille(weather.lost_permille) {
            chance.ms(SENT_AGAIN_MS.0, SENT_AGAIN_MS.1)
        } else {
            Duration::ZERO
        };
        delay + again
    }

    /// Whether the next call arrives a second time, and how much later.
    fn second_copy(&self) -> Option<Duration> {
        let State { chance, weather, .. } = &mut *self.0.lock();
        chance.permille(weather.twice_permille).then(|| chance.ms(SECOND_COPY_MS.0, SECOND_COPY_MS.1))
    }

    /// Waits while the way is cut; false where that takes too long.
    async fn is_whole_within(&self, way: Way, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.is_cut(way) {
            if Instant::now() >= until {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }
}

/// One life of a node at the network.
#[derive(Clone, Debug)]
struct Seat {
    net: Net,
    node: u64,
    life: u64,
}

impl Transport for Seat {
    fn connect(&self, addr: &str) -> Result<Link, StdError> {
        let to = addr.strip_prefix("node-").and_then(|rest| rest.strip_suffix(":1")).and_then(|id| id.parse().ok());
        let to = to.ok_or_else(|| format!("there is no node at {addr}"))?;
        Ok(Link::Carried(Arc::new(Wire { seat: self.clone(), to })))
    }
}

/// The way to one node.
#[derive(Clone, Debug)]
struct Wire {
    seat: Seat,
    to: u64,
}

impl Carrier for Wire {
    fn carry(&self, call: PeerCall) -> Answering {
        Box::pin(self.clone().call(call))
    }
}

fn unreachable(why: &str) -> StdError {
    Status::unavailable(why).into()
}

impl Wire {
    async fn call(self, call: PeerCall) -> PeerAnswer {
        let Self { seat: Seat { net, node, life }, to } = self;
        sleep(net.delay()).await;
        if !net.is_whole_within((node, to), CONNECT).await {
            return Err(unreachable("no connection in time"));
        }
        if net.life(node) != Some(life) {
            return Err(unreachable("the caller is gone"));
        }
        let Some(mut there) = net.endpoint(to) else { return Err(unreachable("nobody listens there")) };
        let lives = [(node, life), (to, there.life)];
        let (parts, body) = call.into_parts();
        let recorded = net.second_copy().map(|after| Recorded::begin(&net, to, after, parts.clone()));
        let body = net.stream((node, to), lives, body, recorded);
        let Ok(answer) = there.routes.call(http::Request::from_parts(parts, body)).await;
        sleep(net.delay()).await;
        if !net.is_whole_within((to, node), BREAKS_AFTER).await {
            return Err(unreachable("the connection broke"));
        }
        if net.life(to) != Some(lives[1].1) {
            return Err(unreachable("who was called is gone"));
        }
        let (parts, body) = answer.into_parts();
        Ok(http::Response::from_parts(parts, net.stream((to, node), lives, body, None)))
    }
}
