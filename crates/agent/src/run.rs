//! Puts the parts together.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use gantry_types::HostSpec;
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use crate::{
    capacity,
    config::{Config, Docker},
    containerd::{self, Telling},
    docker,
    fetch::{self, Throttled},
    holds::Holds,
    metrics::{self, Metrics},
    session::Session,
    sources::{self, Sources},
    truth,
    view::View,
};

/// How often the host is looked at anew: a GPU may fall off its bus.
const LOOK: Duration = Duration::from_secs(60);
/// Looks at the store whose news were not told yet.
const NEWS: usize = 64;
/// Observations that wait for the cluster.
const OBSERVATIONS: usize = 64;

/// Runs the agent until `shutdown` resolves. An error where the host cannot be described; a cluster or a containerd that
/// cannot be reached is waited for.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let spec = look(&config).await?;
    let metrics = Metrics::new(&spec.region);
    if let Some(addr) = &config.metrics_listen {
        let listener =
            TcpListener::bind(addr).await.with_context(|| format!("metrics_listen {addr} cannot be bound"))?;
        tokio::spawn(metrics::serve(listener, metrics.clone()));
    }
    let holds = Arc::new(Mutex::new(Holds::new(spec.clone())));
    let (view, views) = watch::channel(None);
    let (news, told) = mpsc::channel(NEWS);
    let (is_up, ups) = watch::channel(false);
    let (observations, observed) = mpsc::channel(OBSERVATIONS);
    let (specs, spec) = watch::channel(spec);
    let throttled = Throttled::default();
    let (fetches, fetched, fetching) = fetch::start(&config, &metrics, &throttled)?;
    let session = Session {
        cluster: config.cluster.clone(),
        spec,
        view: views.clone(),
        observations: observed,
        holds: Arc::clone(&holds),
        metrics: metrics.clone(),
        fetches,
        fetched,
        connection: 0,
    };
    let mut tasks = tokio::task::JoinSet::new();
    let view = match config.docker.clone() {
        Some(source) => beside(&mut tasks, source, view, config.containerd.is_some(), &metrics),
        None => view,
    };
    if config.containerd.is_some() || config.docker.is_some() {
        tasks.spawn(count(views, ups, metrics.clone()));
    }
    if let Some(source) = config.containerd.clone() {
        tasks.spawn(containerd::watch(source, Telling { view, news, is_up }));
    }
    tasks.spawn(truth::tell(told, holds, metrics, observations, throttled));
    if let Some(fetching) = fetching {
        tasks.spawn(fetching);
    }
    tasks.spawn(session.run());
    tokio::select! {
        () = shutdown => {}
        () = follow_host(config, specs) => {}
    }
    tasks.shutdown().await;
    Ok(())
}

/// Has a Docker Engine watched, and both sources told as one view; where the containerd is to tell its own view.
fn beside(
    tasks: &mut tokio::task::JoinSet<()>,
    source: Docker,
    view: watch::Sender<Option<Arc<View>>>,
    has_containerd: bool,
    metrics: &Metrics,
) -> watch::Sender<Option<Arc<View>>> {
    // Where there is none, it is known that it has nothing.
    let (of_containerd, containerd) = watch::channel((!has_containerd).then(Arc::default));
    let (seen, docker) = watch::channel(None);
    let (is_up, docker_is_up) = watch::channel(false);
    tasks.spawn(docker::watch(source, docker::Telling { seen, is_up }));
    tasks.spawn(sources::merge(Sources { containerd, docker, docker_is_up }, view, metrics.clone()));
    of_containerd
}

/// Looks at the host now and then, for as long as somebody wants to know. A look that fails changes nothing.
async fn follow_host(config: Config, specs: watch::Sender<HostSpec>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    loop {
        looks.tick().await;
        match look(&config).await {
            Ok(spec) => drop(specs.send_if_modified(|known| {
                let is_new = *known != spec;
                *known = spec;
                is_new
            })),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the host cannot be looked at"),
        }
    }
}

/// NVML may take seconds.
async fn look(config: &Config) -> anyhow::Result<HostSpec> {
    let config = config.clone();
    let looking = tokio::task::spawn_blocking(move || capacity::declare(&config, &capacity::look(&config)?));
    Ok(looking.await.context("looking at the host panicked")??)
}

/// Counts what lies on the host.
async fn count(
    mut views: watch::Receiver<Option<Arc<crate::view::View>>>,
    mut ups: watch::Receiver<bool>,
    metrics: Metrics,
) {
    loop {
        if let Some(view) = views.borrow_and_update().as_deref() {
            metrics.layers(&view.layers);
        }
        metrics.containerd(*ups.borrow_and_update());
        tokio::select! {
            Ok(()) = views.changed() => {}
            Ok(()) = ups.changed() => {}
            else => return,
        }
    }
}
