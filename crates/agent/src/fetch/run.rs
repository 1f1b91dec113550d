//! Runs one fetch under a lease of its own, to whatever end.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use gantry_oci::Resolver;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    LONGEST, Throttled, bucket::Limits, error::FetchError, order::Order, progress::Progress, queue::Ticket,
    store::Store, work::Work,
};
use crate::{config::Containerd, metrics::Metrics};

/// The lease of a fetch ends by itself so much after the fetch must have ended.
const SPARE: Duration = Duration::from_secs(60 * 60);
/// How often an earlier run's leases are looked for, until containerd answers, and how often that is tried.
const SWEEP: Duration = Duration::from_secs(10);
const SWEEPS: usize = 60;

#[derive(Debug)]
pub(super) struct Run {
    pub containerd: Containerd,
    pub namespace: String,
    pub resolver: Arc<Resolver>,
    pub reserve_bytes: u64,
    pub metrics: Metrics,
    pub throttled: Throttled,
    /// Of this process, in its leases.
    pub name: String,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Ready,
    Failed(FetchError),
    Cancelled,
    /// Not of a fetch: what earlier ones left was looked for.
    Swept,
}

impl Run {
    pub(super) async fn fetch(
        self: Arc<Self>,
        ticket: Ticket,
        order: Arc<Order>,
        progress: Arc<Progress>,
        limits: Arc<Limits>,
        keep: Arc<AtomicU64>,
        mut stopped: oneshot::Receiver<()>,
    ) -> Outcome {
        let begun = Instant::now();
        let image = order.reference.to_string();
        let layers = order.layers.len();
        tracing::info!(image, layers, unpack = order.unpack, "layers are fetched ahead");
        if limits.is_limited() {
            self.throttled.note(order.digest);
        }
        let held = tokio::select! {
            held = self.hold(ticket) => held,
            // A lease that was just made is found by the next agent, or ends by itself.
            Ok(()) = &mut stopped => return Outcome::Cancelled,
        };
        let mut store = match held {
            Ok(store) => store,
            Err(error) => return self.failed(&image, error),
        };
        let work = Arc::new(Work {
            store: store.clone(),
            resolver: Arc::clone(&self.resolver),
            order,
            progress,
            limits,
            keep,
            root: self.containerd.root.clone(),
            reserve_bytes: self.reserve_bytes,
            metrics: self.metrics.clone(),
        });
        let outcome = tokio::select! {
            // Whoever could stop it is gone with the agent.
            Ok(()) = stopped => Outcome::Cancelled,
            ended = timeout(LONGEST, Box::pin(work.run())) => match ended {
                Ok(Ok(())) => Outcome::Ready,
                Ok(Err(error)) => Outcome::Failed(error),
                Err(_) => Outcome::Failed(FetchError::TooLong { limit: LONGEST }),
            },
        };
        // What a next try can go on with stays until garbage is collected anyway.
        let is_of_use = match &outcome {
            Outcome::Ready | Outcome::Swept => true,
            Outcome::Failed(error) => error.again_after().is_some(),
            Outcome::Cancelled => false,
        };
        if let Err(error) = store.release(!is_of_use).await {
            tracing::warn!(%error, image, "the lease of a fetch stands until it ends by itself");
        }
        match outcome {
            Outcome::Failed(error) => self.failed(&image, error),
            outcome => {
                let (is_ready, took_ms) = (matches!(outcome, Outcome::Ready), begun.elapsed().as_millis() as u64);
                tracing::info!(image, layers, is_ready, took_ms, "fetching ahead has ended");
                outcome
            }
        }
    }

    fn failed(&self, image: &str, error: FetchError) -> Outcome {
        tracing::warn!(image, %error, "layers were not fetched ahead");
        Outcome::Failed(error)
    }

    /// containerd, with a lease for this fetch.
    async fn hold(&self, ticket: Ticket) -> Result<Store, FetchError> {
        let mut store = self.connect().await?;
        store.hold(&self.name, &format!("gantry-fetch-{}-{ticket}", self.name), LONGEST + SPARE).await?;
        Ok(store)
    }

    async fn connect(&self) -> Result<Store, FetchError> {
        Store::connect(&self.containerd.socket, &self.namespace, &self.containerd.snapshotter).await
    }

    /// Ends what an earlier run of the agent left under way.
    pub(super) async fn sweep(&self) {
        for _ in 0..SWEEPS {
            let swept = match self.connect().await {
                Ok(store) => store.sweep(&self.name).await,
                Err(error) => Err(error),
            };
            match swept {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "leases of earlier fetches are not looked for yet"),
            }
            sleep(SWEEP).await;
        }
    }
}
