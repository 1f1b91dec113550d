//! One view of what lies on the host, where there are two sources of it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    docker::{Seen, merged},
    metrics::Metrics,
    view::View,
};

/// At first both are waited for, so that the cluster does not take for gone what the slower one has. Not for longer than this.
const BOTH_WITHIN: Duration = Duration::from_secs(5);

/// What the sources say; none until each was read once.
#[derive(Debug)]
pub(crate) struct Sources {
    pub containerd: watch::Receiver<Option<Arc<View>>>,
    pub docker: watch::Receiver<Option<Arc<Seen>>>,
    pub docker_is_up: watch::Receiver<bool>,
}

/// Until one of the sources ends.
pub(crate) async fn merge(mut sources: Sources, view: watch::Sender<Option<Arc<View>>>, metrics: Metrics) {
    let patience = Instant::now() + BOTH_WITHIN;
    loop {
        let containerd = sources.containerd.borrow_and_update().clone();
        let docker = sources.docker.borrow_and_update().clone();
        metrics.docker(*sources.docker_is_up.borrow_and_update());
        let is_whole = containerd.is_some() && docker.is_some();
        let is_some = containerd.is_some() || docker.is_some();
        let is_late = Instant::now() >= patience;
        if is_whole || (is_some && is_late) {
            let merged = merged(containerd.as_deref(), docker.as_deref());
            metrics.nameless(merged.nameless);
            view.send_if_modified(|known| {
                let is_new = known.as_deref() != Some(&merged.view);
                if is_new {
                    *known = Some(Arc::new(merged.view));
                }
                is_new
            });
        }
        let changed = tokio::select! {
            changed = sources.containerd.changed() => changed,
            changed = sources.docker.changed() => changed,
            changed = sources.docker_is_up.changed() => changed,
            () = sleep_until(patience), if !is_late => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}
