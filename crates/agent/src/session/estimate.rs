//! Asks the cluster how long an image will take on this host, so that its estimate stands beside what it took.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gantry_client::{
    Client,
    v1::{Constraints, ExplainRequest, PlaceRequest, Reservation, Shape},
};
use gantry_types::LayerState;
use tokio::time::Instant;

use super::Session;

/// An estimate looks at every host, so a host asks seldom: some of the machines of a burst stand for all.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Estimates {
    is_asking: Arc<AtomicBool>,
    last: Option<Instant>,
}

impl Estimates {
    /// For a machine just granted, whose image is not ready here. What the machine itself will fetch counts as being fetched,
    /// so the answer is what was expected of it.
    pub(super) fn ask(&mut self, client: &Client, row: &Reservation, session: &Session) {
        let is_early = self.last.is_some_and(|last| last.elapsed() < EVERY);
        if row.image.is_empty() || is_early || is_ready(&row.image, session) {
            return;
        }
        if self.is_asking.swap(true, Ordering::Relaxed) {
            return;
        }
        self.last = Some(Instant::now());
        let (client, is_asking, holds) = (client.clone(), Arc::clone(&self.is_asking), Arc::clone(&session.holds));
        let (id, request) = (row.id, question(row));
        tokio::spawn(async move {
            match client.explain(request).await {
                Ok(answer) if answer.image_known => {
                    if let Some(host) = answer.hosts.first() {
                        holds.lock().expect(id, host.ready_ms);
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, reservation = id, "no estimate"),
            }
            is_asking.store(false, Ordering::Relaxed);
        });
    }
}

/// The least that can be asked for: a host with no room at all has no estimate.
fn question(row: &Reservation) -> ExplainRequest {
    let shape = Shape { cpu_milli: 1, memory_bytes: 1, ..Shape::default() };
    let constraints = Constraints { host: row.host.clone(), ..Constraints::default() };
    let request = PlaceRequest {
        app: row.app.clone(),
        image: row.image.clone(),
        shape: Some(shape),
        constraints: Some(constraints),
        count: 1,
        ..PlaceRequest::default()
    };
    ExplainRequest { request: Some(request), top: 1 }
}

fn is_ready(reference: &str, session: &Session) -> bool {
    let view = session.view.borrow();
    let Some(view) = view.as_deref() else { return false };
    let is_unpacked = |digest: &[u8]| {
        let digest = gantry_types::Digest::from_bytes("digest", digest).ok();
        digest.and_then(|digest| view.layers.get(&digest)).is_some_and(|held| held.state == LayerState::Unpacked)
    };
    view.images.get(reference).is_some_and(|image| image.layers.iter().all(|layer| is_unpacked(&layer.digest)))
}
