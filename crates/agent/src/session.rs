//! The connection to the cluster: made again whenever it ends, to another member each time.

mod backoff;
mod conversation;
mod estimate;

use std::{sync::Arc, time::Duration};

use gantry_client::Client;
use gantry_types::{HostSpec, PullObservation};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use self::{backoff::Backoff, conversation::Conversation};
use crate::{
    fetch::{Fetches, Told},
    holds::Holds,
    metrics::Metrics,
    view::View,
};

pub(crate) use conversation::SessionError;

/// A connection that lasted so long was a good one: the next try waits little.
const GOOD: Duration = Duration::from_secs(10);

/// What the cluster is told, and where what it says is kept.
#[derive(Debug)]
pub(crate) struct Session {
    /// Client addresses of members.
    pub cluster: Vec<String>,
    /// What the host has.
    pub spec: watch::Receiver<HostSpec>,
    /// What lies there; none until that is known.
    pub view: watch::Receiver<Option<Arc<View>>>,
    pub observations: mpsc::Receiver<PullObservation>,
    pub holds: Arc<Mutex<Holds>>,
    pub metrics: Metrics,
    pub fetches: Fetches,
    /// How far fetches are.
    pub fetched: mpsc::Receiver<Told>,
    /// The number of the last connection.
    pub connection: u64,
}

impl Session {
    /// Stays connected for ever.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let begun = tokio::time::Instant::now();
            let Err(error) = self.converse().await;
            self.metrics.connected(false);
            self.fetches.disconnected();
            if begun.elapsed() > GOOD {
                backoff = Backoff::default();
            }
            let pause = backoff.next();
            tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "not connected to the cluster");
            tokio::time::sleep(pause).await;
            // The member that is asked first was the last one to be asked.
            self.cluster.rotate_left(1);
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, SessionError> {
        self.connection += 1;
        let client = Client::new(self.cluster.iter().cloned())?;
        Conversation::open(self, client).await?.run(self).await
    }
}
