//! Has agents fetch an image ahead of need, for whoever asks, and tells how far they are.
//!
//! Nothing of it is replicated: where the leader changes, the caller's stream ends, agents go on for a while with what they
//! have begun, and whoever asks again finds that done.

use std::{cmp::Reverse, time::Duration};

use gantry_fleet::{Fleet, ImageEntry};
use gantry_placement::{Ask, InFlight, Sight, rank};
use gantry_proto::v1::{self, FetchState};
use gantry_types::{Constraints, HostId, LayerId, PlaceRequest, Refused};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    agents::{Agents, Fetching, NotAsked, is_over},
    node::Node,
};

/// An agent that says nothing for so long is not waited for.
const SILENCE: Duration = Duration::from_secs(60);
/// How often an agent whose connection broke is asked again, and how long it may take to come back.
const TRIES: u32 = 3;
const CONNECTS_WITHIN: Duration = Duration::from_secs(30);
const CONNECTED_YET: Duration = Duration::from_millis(250);

/// What is to be fetched, and on which hosts.
#[derive(Debug)]
pub(crate) struct Warming {
    pub hosts: Vec<Target>,
    pub fetch: v1::Fetch,
}

#[derive(Debug)]
pub(crate) struct Target {
    pub id: HostId,
    pub name: String,
    /// Of what is to be fetched.
    pub present_bytes: u64,
}

impl Warming {
    /// Looks at every host: not for a thread that serves other calls.
    pub(crate) fn plan(
        fleet: &Fleet,
        agents: &Agents,
        request: &v1::WarmImageRequest,
        constraints: Constraints,
    ) -> Result<Self, Refused> {
        let unknown = || Refused::UnknownImage { image: request.reference.clone() };
        let entry = fleet.image(&request.reference).ok_or_else(unknown)?;
        let layers = match request.base_layers as usize {
            0 => entry.image.layers.as_slice(),
            some => &entry.image.layers[..some.min(entry.image.layers.len())],
        };
        let fetch = v1::Fetch {
            id: 0,
            reference: request.reference.clone(),
            digest: gantry_proto::convert::image::text(&entry.image.digest),
            layers: layers.iter().map(Into::into).collect(),
            unpack: !request.only_fetch,
            keep_ms: request.keep_ms,
            bytes_per_s: request.bytes_per_s,
        };
        let mut hosts = candidates(fleet, agents, entry, layers.len(), constraints);
        let (wanted, have) = (request.hosts as usize, hosts.len());
        if have < wanted {
            let why = format!("is {wanted}, and of the hosts that take machines there, {have} have an agent connected");
            return Err(Refused::invalid("hosts", why));
        }
        hosts.truncate(wanted);
        Ok(Self { hosts, fetch })
    }

    /// How things stand before anything was fetched.
    pub(crate) fn begun(&self) -> v1::WarmImageResponse {
        let total_bytes = self.total_bytes();
        let hosts = self.hosts.iter().map(|host| v1::HostFetch {
            host: host.name.clone(),
            state: FetchState::Waiting as i32,
            present_bytes: host.present_bytes,
            total_bytes,
            reason: String::new(),
        });
        v1::WarmImageResponse { hosts: hosts.collect() }
    }

    fn total_bytes(&self) -> u64 {
        self.fetch.layers.iter().map(|layer| layer.size_bytes).sum()
    }

    /// Until every host is done, or nobody listens any more.
    pub(crate) async fn run(self, node: Node, out: mpsc::Sender<v1::WarmImageResponse>) {
        let total_bytes = self.total_bytes();
        let hosts = self.hosts.into_iter().map(|target| {
            let (node, fetch, out) = (node.clone(), self.fetch.clone(), out.clone());
            async move { Host { node, target, total_bytes, out }.warm(fetch).await }
        });
        futures::future::join_all(hosts).await;
    }
}

/// Hosts that take machines and have an agent, those first that lack least of the image's first layers.
fn candidates(
    fleet: &Fleet,
    agents: &Agents,
    entry: &ImageEntry,
    layers: usize,
    constraints: Constraints,
) -> Vec<Target> {
    let request =
        PlaceRequest { image: entry.image.reference.clone(), constraints, count: 1, ..PlaceRequest::default() };
    let nothing = InFlight::default();
    let ranked = rank(fleet, &nothing, &mut Sight::of(fleet, &nothing), Ask::machine(fleet, &request));
    let wanted: Vec<(LayerId, u64)> =
        entry.chain.iter().take(layers).map(|numbered| (numbered.layer, numbered.size_bytes)).collect();
    let mut hosts: Vec<Target> = ranked
        .into_iter()
        .filter(|ranked| agents.is_connected(ranked.host()))
        .filter_map(|ranked| {
            let host = fleet.host(ranked.host())?;
            let is_there = |layer: LayerId| host.holds(layer).is_some();
            let present_bytes = wanted.iter().filter(|(layer, _)| is_there(*layer)).map(|(_, bytes)| bytes).sum();
            Some(Target { id: host.id, name: host.spec.name.clone(), present_bytes })
        })
        .collect();
    // Hosts that lack as much stay in the order of a placement.
    hosts.sort_by_key(|host| Reverse(host.present_bytes));
    hosts
}

/// One host of a warming.
struct Host {
    node: Node,
    target: Target,
    total_bytes: u64,
    out: mpsc::Sender<v1::WarmImageResponse>,
}

impl Host {
    async fn warm(self, fetch: v1::Fetch) {
        let mut why = String::new();
        for _ in 0..TRIES {
            match self.ask(&fetch).await {
                Ok(fetching) => match self.follow(fetching).await {
                    Followed::Done => return,
                    Followed::Broke(how) => why = how,
                },
                Err(how) => {
                    why = how;
                    break;
                }
            }
        }
        self.node.metrics().fetched(FetchState::Failed, 0);
        self.tell(FetchState::Failed, self.target.present_bytes, why).await;
    }

    /// Asks the agent, once it is connected.
    async fn ask(&self, fetch: &v1::Fetch) -> Result<Fetching, String> {
        let asking = async {
            loop {
                match self.node.agents().fetch(self.target.id, fetch.clone()) {
                    Ok(fetching) => return fetching,
                    Err(NotAsked::NotConnected | NotAsked::Busy) => sleep(CONNECTED_YET).await,
                }
            }
        };
        timeout(CONNECTS_WITHIN, asking).await.map_err(|_| {
            let s = CONNECTS_WITHIN.as_secs();
            format!("its agent was not connected, or had other things to fetch, for {s} s")
        })
    }

    async fn follow(&self, mut fetching: Fetching) -> Followed {
        loop {
            let progress = tokio::select! {
                heard = timeout(SILENCE, fetching.next()) => match heard {
                    Ok(Some(progress)) => progress,
                    Ok(None) => return Followed::Broke("the connection to its agent broke again and again".to_owned()),
                    Err(_) => return Followed::Broke(format!(
                        "its agent said nothing for {} s: see its log, and that it is as new as the servers",
                        SILENCE.as_secs()
                    )),
                },
                () = self.out.closed() => return Followed::Done,
            };
            let state = progress.state();
            if is_over(state) {
                self.node.metrics().fetched(state, progress.present_bytes.saturating_sub(self.target.present_bytes));
            }
            self.tell(state, progress.present_bytes, progress.reason).await;
            if is_over(state) {
                return Followed::Done;
            }
        }
    }

    async fn tell(&self, state: FetchState, present_bytes: u64, reason: String) {
        let total_bytes = self.total_bytes;
        let present_bytes = present_bytes.min(total_bytes);
        let host = self.target.name.clone();
        let news = v1::HostFetch { host, state: state as i32, present_bytes, total_bytes, reason };
        // Nobody listens any more: the next look at the channel ends this.
        let _ = self.out.send(v1::WarmImageResponse { hosts: vec![news] }).await;
    }
}

enum Followed {
    Done,
    Broke(String),
}
