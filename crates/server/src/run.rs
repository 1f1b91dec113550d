//! One member of a cluster, from its start to its end.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::Either;
use gantry_consensus::{Consensus, Standing};
use gantry_proto::{
    FILE_DESCRIPTOR_SET, Token,
    v1::{
        cluster_server::ClusterServer, fleet_server::FleetServer, maintenance_server::MaintenanceServer,
        placement_server::PlacementServer, volumes_server::VolumesServer, watch_server::WatchServer,
    },
};
use gantry_types::limits;
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::MapResponseLayer;

use crate::{
    Config, WallClock,
    config::{Limits, resolve},
    forward::ForwardLayer,
    healing,
    images::Images,
    joining,
    metrics::{self, Metrics},
    node::Node,
    service::{
        cluster::ClusterService, fleet::FleetService, maintenance::MaintenanceService, placement::PlacementService,
        registry_events, volumes::VolumesService, watch::WatchService,
    },
    serving::Serving,
    silence, unreadable,
};

/// HTTP/2 windows: a stream of placements must not wait for window updates, and a stream that is not read (its window of
/// calls is full) must not hold up the others of its connection, which may be those of all of a follower's callers.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// Streams of one connection: a proxy in front of a whole fleet's agents has them all on one.
const STREAMS_PER_CONNECTION: u32 = 32_768;
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long a leader that stops tries to hand over: what is under way is finished first.
const HANDOVER: Duration = Duration::from_secs(3);
/// How long calls may go on after the shutdown began. Streams that nobody ends are cut then.
const GRACE: Duration = Duration::from_secs(1);

/// From now on a panic ends the process, once it is printed. A member that lost one of its tasks would go on sending
/// heartbeats and serve nobody; one that is gone is replaced as leader, and restarted. Only for a process that is a member
/// and nothing else.
pub(crate) fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// What a server does at its start to become a member.
#[derive(Clone, Debug)]
pub struct Joining {
    /// A member's address, or a token.
    pub to: Token,
    /// The voter whose place it takes; 0 for a place of its own.
    pub replaces: u64,
}

/// Where one member is reached.
pub(crate) struct Listeners {
    pub raft: TcpListener,
    pub client: TcpListener,
    pub metrics: Option<TcpListener>,
}

/// Runs a server until `shutdown` resolves or it cannot go on.
pub async fn run(
    mut config: Config,
    joining: Option<Joining>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    abort_on_panic();
    let room = config.disk.rules();
    let images = config.images.take().map_or_else(|| Ok(Images::default()), |images| Images::new(*images))?;
    let mut shutdown = Box::pin(shutdown);
    // Before anybody can connect: whoever did would wait.
    tokio::select! {
        waited = gantry_consensus::wait_for_room(&config.data_dir, room) => waited?,
        () = &mut shutdown => return Ok(()),
    }
    let listeners = Listeners {
        raft: listen("raft_listen", config.raft_listen()).await?,
        client: listen("client_listen", config.client_listen()).await?,
        metrics: match &config.metrics_listen {
            Some(addr) => Some(listen("metrics_listen", addr).await?),
            None => None,
        },
    };
    let node_id = node_id(&config, joining.as_ref()).await?;
    let (raft_addr, client_addr) = (config.raft_addr.clone(), config.client_addr.clone());
    let defaults = gantry_consensus::Config::new(node_id, raft_addr, client_addr, config.data_dir.clone());
    let snapshots = config.snapshots.into();
    let consensus_config = gantry_consensus::Config { cluster: config.cluster.clone(), snapshots, room, ..defaults };
    let told = joining.as_ref().map_or_else(Vec::new, |joining| joining.to.addresses.clone());
    // Large, and gone once the node runs.
    let consensus = Box::pin(healing::start(consensus_config, &told)).await?;
    tracing::info!(node = consensus.member().id, client = config.client_addr, raft = config.raft_addr, "started");
    let (joined, bounds) = (consensus.clone(), (config.limits, config.silence()));
    let joining = async move {
        match joining {
            // What it was told is done where it comes back in another life: the id and whom it was to replace are gone by then.
            Some(Joining { to, replaces }) if !joined.is_reborn() => joining::keep_joining(joined, to, replaces).await,
            _ => {
                healing::keep_rejoining(joined, &config.data_dir, &told).await;
                Ok(())
            }
        }
    };
    let known = (Metrics::new(config.log_choices), images);
    let serving = serve(consensus, bounds, known, listeners, shutdown);
    let (serving, joining) = (std::pin::pin!(serving), std::pin::pin!(joining));
    match futures::future::select(serving, joining).await {
        Either::Left((served, _)) => served,
        Either::Right((Ok(()), serving)) => serving.await,
        Either::Right((Err(refused), _)) => Err(refused),
    }
}

/// The id in the config, or the one that the data directory remembers, or a new one from the cluster that is joined.
async fn node_id(config: &Config, joining: Option<&Joining>) -> anyhow::Result<u64> {
    if let Some(id) = config.node_id {
        return Ok(id);
    }
    if let Some(id) = gantry_consensus::owner_of(&config.data_dir)? {
        return Ok(id);
    }
    let Some(joining) = joining else {
        anyhow::bail!("node_id is missing: only a new server that is started with --join may leave it out");
    };
    joining::new_id(&joining.to).await
}

pub(crate) async fn listen(key: &str, addr: &str) -> anyhow::Result<TcpListener> {
    let resolved = resolve(addr).map_err(|why| anyhow::anyhow!("{key} {why}"))?;
    let hint = "is another server running there?";
    TcpListener::bind(resolved).await.with_context(|| format!("{key}: cannot listen on {addr}: {hint}"))
}

/// Serves on listeners that are bound already.
pub(crate) async fn serve(
    consensus: Consensus,
    (limits, silence): (Limits, Option<Duration>),
    (metrics, images): (Metrics, Images),
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let Serving { node, mut tasks } =
        Serving::begin(consensus.clone(), limits, (metrics.clone(), images), WallClock::system(), run_number());
    let (stop, stopped) = watch::channel(false);
    silence.into_iter().for_each(|silence| drop(tasks.spawn(silence::watch(node.clone(), silence))));
    if let Some(listener) = listeners.metrics {
        tasks.spawn(metrics::serve(listener, consensus.clone(), metrics));
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(consensus.clone(), health));
    let raft = tokio::spawn(serve_peers(consensus.clone(), listeners.raft, until(stopped.clone())));
    let routes = routes(&node)?.add_service(health_service);
    let api = server(&consensus, routes, listeners.client, until(stopped));
    tokio::pin!(api);
    let result = tokio::select! {
        result = &mut api => result,
        why = consensus.stopped() => Err(anyhow::anyhow!("consensus stopped: {why}")),
        Some(Err(died)) = tasks.join_next() => Err(anyhow::anyhow!("a task that everybody needs died: {died}")),
        () = shutdown => {
            tracing::info!("shutting down");
            hand_over(&consensus).await;
            Ok(())
        }
    };
    let _ = stop.send(true);
    node.agents().close_all(&gantry_proto::WireError::stopped());
    if result.is_ok() {
        drop(tokio::time::timeout(GRACE, api).await);
    }
    consensus.shutdown().await;
    raft.abort();
    result
}

/// A leader that is about to stop lets another voter lead, so that nobody waits for an election.
async fn hand_over(consensus: &Consensus) {
    if consensus.status().standing != Standing::Leader {
        return;
    }
    let begun = Instant::now();
    match tokio::time::timeout(HANDOVER, consensus.hand_over(None)).await {
        Ok(Ok(to)) => tracing::info!(to, took_ms = begun.elapsed().as_millis() as u64, "handed leadership over"),
        Ok(Err(error)) => tracing::warn!(%error, "leadership was not handed over"),
        Err(_) => tracing::warn!("leadership was not handed over in time"),
    }
}

async fn serve_peers(consensus: Consensus, listener: TcpListener, stopped: impl Future<Output = ()>) {
    if let Err(error) = consensus.serve(listener, stopped).await {
        tracing::error!(%error, "the peers' listener failed");
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

fn routes(node: &Node) -> anyhow::Result<Routes> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the compiled protos cannot be reflected")?;
    let most = limits::MESSAGE_BYTES;
    let mut routes = Routes::new(PlacementServer::new(PlacementService(node.clone())).max_decoding_message_size(most))
        .add_service(VolumesServer::new(VolumesService(node.clone())).max_decoding_message_size(most))
        .add_service(FleetServer::new(FleetService(node.clone())).max_decoding_message_size(most))
        .add_service(ClusterServer::new(ClusterService(node.clone())).max_decoding_message_size(most))
        .add_service(MaintenanceServer::new(MaintenanceService::new(node.clone())).max_decoding_message_size(most))
        .add_service(WatchServer::new(WatchService(node.clone())).max_decoding_message_size(most))
        .add_service(reflection);
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = registry_events::serve_on(router, node.clone());
    Ok(routes)
}

async fn server(
    consensus: &Consensus,
    routes: Routes,
    listener: TcpListener,
    stopped: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let incoming = TcpListenerStream::new(listener);
    let incoming = tokio_stream::StreamExt::map(incoming, |connection| {
        connection.inspect(|stream| drop(stream.set_nodelay(true)))
    });
    Server::builder()
        .accept_http1(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .layer(MapResponseLayer::new(unreadable::response))
        .layer(ForwardLayer::new(consensus.clone()))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stopped)
        .await
        .context("the API server stopped")
}

/// Serving while there is a leader to serve through.
async fn report_health(consensus: Consensus, health: HealthReporter) {
    let mut role = consensus.role();
    loop {
        let led = role.borrow_and_update().leader.is_some();
        let status = if led { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status("", status).await;
        for service in ["Placement", "Volumes", "Fleet", "Cluster", "Maintenance", "Watch"] {
            health.set_service_status(format!("gantry.v1.{service}"), status).await;
        }
        if role.changed().await.is_err() {
            return;
        }
    }
}

/// Tells this run's log entries from those of every other run. Nothing but their own proposer ever looks at it.
fn run_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::Command};

    const SIGABRT: i32 = 6;

    #[test]
    #[ignore = "is run by the test below, in a process of its own"]
    fn panics() {
        super::abort_on_panic();
        drop(std::thread::spawn(|| panic!("a task's bug")).join());
    }

    #[test]
    fn a_panic_in_any_thread_ends_the_process() {
        let this = std::env::current_exe().unwrap();
        let run =
            Command::new(this).args(["--ignored", "--exact", "run::tests::panics", "--nocapture"]).output().unwrap();
        assert_eq!(run.status.signal(), Some(SIGABRT), "{run:?}");
        assert!(String::from_utf8_lossy(&run.stderr).contains("a task's bug"), "{run:?}");
    }
}
