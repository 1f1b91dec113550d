//! Says how long images really took, to everybody who wants to know: the log, the metrics, and the cluster, whose estimates
//! are corrected with it.

use std::{sync::Arc, time::Duration};

use gantry_types::PullObservation;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    fetch::Throttled,
    holds::Holds,
    metrics::Metrics,
    prepare::{Begun, News, Prepared},
    store::Nanos,
};

/// What a preparation is told as: for whom, of what, and how long it was expected to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Empty where no machine on this host waits for the image.
    pub app: String,
    pub image: String,
    pub ready_ms: Option<u64>,
}

/// Until the watcher ends. Observations that the cluster does not take in time are dropped: there will be others.
pub(crate) async fn tell(
    mut news: mpsc::Receiver<News>,
    holds: Arc<Mutex<Holds>>,
    metrics: Metrics,
    observations: mpsc::Sender<PullObservation>,
    throttled: Throttled,
) {
    while let Some(News { begun, prepared }) = news.recv().await {
        for begun in begun {
            log_begun(&begun);
        }
        for prepared in prepared {
            let told = told(&prepared, &holds.lock());
            log_prepared(&prepared, &told);
            metrics.prepared(&prepared, &told);
            let mut observed = prepared.observed;
            // What came no faster than it was let says nothing of the link.
            if throttled.has(&prepared.digest) {
                (observed.fetched_bytes, observed.fetch_ms, observed.streams) = (0, 0, 0);
            }
            if (observed.fetched_bytes > 0 || observed.unpacked_bytes > 0) && observed.validate().is_ok() {
                // A full queue: the cluster is away, and will see later ones.
                let _ = observations.try_send(observed);
            }
        }
    }
}

/// For the newest machine that waits for the image under any of its names.
fn told(prepared: &Prepared, holds: &Holds) -> Told {
    let image = prepared.references.first().cloned().unwrap_or_default();
    let waiting = holds.waiting_for(&prepared.references).unwrap_or_default();
    Told { app: waiting.app, image, ready_ms: waiting.ready_ms }
}

fn log_begun(begun: &Begun) {
    let image = begun.references.first().map_or("", String::as_str);
    tracing::info!(image, digest = %begun.digest, namespace = begun.namespace, "Pulling container image");
}

fn log_prepared(prepared: &Prepared, told: &Told) {
    tracing::info!(
        image = told.image,
        app = told.app,
        expected_ms = told.ready_ms,
        layers = prepared.layers,
        found = prepared.found,
        fetched_bytes = prepared.fetched_bytes,
        namespace = prepared.namespace,
        "Successfully prepared image ({:.1?})",
        Duration::from_nanos(prepared.took)
    );
}

pub(crate) fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}
