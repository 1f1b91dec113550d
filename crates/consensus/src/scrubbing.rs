//! A slow walk over this node's data, again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gantry_store::{Scrubbed, Scrubber, StoreError};

use crate::{config::CheckRules, ending::Ending, raft_types::Raft};

/// Walks for as long as the node runs. What is damaged in the log or the state ends the node: its next start finds it too, and
/// then has its peers' data again.
pub(crate) async fn run(scrubber: Scrubber, raft: Raft, ending: Ending, rules: CheckRules) {
    let stop = StopOnDrop::default();
    loop {
        tokio::time::sleep(rules.scrub_every).await;
        match walk(&scrubber, rules.scrub_bytes_per_second, &stop).await {
            Ok(found) if found.stopped => return,
            Ok(found) => {
                let Scrubbed { bytes, rows, entries, snapshots, damaged_snapshots, .. } = found;
                tracing::debug!(bytes, rows, entries, snapshots, "the data is as it was written");
                for damage in &damaged_snapshots {
                    tracing::error!(damage, "a snapshot was taken out of use: another is written");
                }
                if !damaged_snapshots.is_empty() && raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "damaged data was found");
                return ending.because(format!("damaged data was found: {error}"));
            }
        }
    }
}

async fn walk(scrubber: &Scrubber, bytes_per_second: u64, stop: &StopOnDrop) -> Result<Scrubbed, StoreError> {
    let workers = scrubber.workers();
    let (scrubber, stop) = (scrubber.clone(), Arc::clone(&stop.0));
    let walked = workers.run(move || {
        // Dropped before the result is told: whoever waits may close the database next.
        let scrubber = scrubber;
        scrubber.walk(bytes_per_second, &|| stop.load(Ordering::Relaxed))
    });
    walked.await.unwrap_or_else(|error| Err(StoreError::Stopped { why: format!("the walk ended: {error}") }))
}

/// The walk holds the database open, so it must end with the node.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A walk is not begun at once: a start reads everything anyway.
pub(crate) const SCRUB_EVERY: Duration = Duration::from_secs(300);
