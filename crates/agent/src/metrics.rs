//! What this process measures, in the format that Prometheus scrapes. Times are in seconds and sizes in bytes.

mod page;

use std::sync::{Arc, atomic::AtomicU64};

use gantry_types::LayerState;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

pub(crate) use self::page::serve;
use crate::{
    layers::Layers,
    prepare::Prepared,
    truth::{Told, seconds},
};

/// Upper bounds, in seconds, of the time until an image is ready.
const PREPARE_S: [f64; 12] = [0.05, 0.1, 0.5, 1.0, 3.0, 6.0, 15.0, 30.0, 60.0, 180.0, 600.0, 1_800.0];
/// Upper bounds of how much longer it took than was estimated, as a factor.
const FACTORS: [f64; 10] = [0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0, 10.0];
/// Images with apps that have lines of their own; the rest are `other`, so that the page stays bounded.
const IMAGES: usize = 1_024;
const OTHER: &str = "other";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByImage {
    app: String,
    region: String,
    image: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByAnswer {
    answer: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// A handle of one process's metrics; its clones count into the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    region: String,
    known: Mutex<Vec<ByImage>>,
    prepare: Family<ByImage, Histogram>,
    expected: Family<ByImage, Histogram>,
    error: Family<ByImage, Histogram>,
    fetched: Family<ByImage, Counter>,
    layers_found: Family<ByImage, Counter>,
    layers_fetched: Family<ByImage, Counter>,
    layers: Family<ByState, Gauge>,
    reservations: Gauge,
    answers: Family<ByAnswer, Counter>,
    connected: Gauge,
    containerd_up: Gauge,
    docker_up: Gauge,
    docker_nameless: Gauge,
    position: Gauge<u64, AtomicU64>,
    fetch_bytes: Counter,
    fetches: Family<ByOutcome, Counter>,
    fetches_under_way: Family<ByState, Gauge>,
}

impl Metrics {
    pub(crate) fn new(region: &str) -> Self {
        let by_image = || Family::<ByImage, Histogram>::new_with_constructor(|| Histogram::new(PREPARE_S));
        let inner = Inner {
            registry: Registry::default(),
            region: region.to_owned(),
            known: Mutex::default(),
            prepare: by_image(),
            expected: by_image(),
            error: Family::new_with_constructor(|| Histogram::new(FACTORS)),
            fetched: Family::default(),
            layers_found: Family::default(),
            layers_fetched: Family::default(),
            layers: Family::default(),
            reservations: Gauge::default(),
            answers: Family::default(),
            connected: Gauge::default(),
            containerd_up: Gauge::default(),
            docker_up: Gauge::default(),
            docker_nameless: Gauge::default(),
            position: Gauge::default(),
            fetch_bytes: Counter::default(),
            fetches: Family::default(),
            fetches_under_way: Family::default(),
        };
        let mut registry = Registry::with_prefix("gantry_agent");
        inner.register(&mut registry);
        Self(Arc::new(Inner { registry, ..inner }))
    }

    /// An image became ready.
    pub(crate) fn prepared(&self, prepared: &Prepared, told: &Told) {
        let inner = &self.0;
        let labels = inner.labels(told);
        let took_s = seconds(prepared.took);
        inner.prepare.get_or_create(&labels).observe(took_s);
        if let Some(ready_ms) = told.ready_ms {
            let expected_s = ready_ms as f64 / 1e3;
            inner.expected.get_or_create(&labels).observe(expected_s);
            if ready_ms > 0 {
                inner.error.get_or_create(&labels).observe(took_s / expected_s);
            }
        }
        inner.fetched.get_or_create(&labels).inc_by(prepared.fetched_bytes);
        inner.layers_found.get_or_create(&labels).inc_by(prepared.found as u64);
        inner.layers_fetched.get_or_create(&labels).inc_by((prepared.layers - prepared.found) as u64);
    }

    pub(crate) fn layers(&self, layers: &Layers) {
        for (state, name) in
            [(LayerState::Pulling, "pulling"), (LayerState::Blob, "blob"), (LayerState::Unpacked, "unpacked")]
        {
            let count = layers.values().filter(|held| held.state == state).count();
            self.0.layers.get_or_create(&ByState { state: name }).set(count as i64);
        }
    }

    pub(crate) fn reservations(&self, held: usize) {
        self.0.reservations.set(held as i64);
    }

    pub(crate) fn answered(&self, answer: &'static str) {
        self.0.answers.get_or_create(&ByAnswer { answer }).inc();
    }

    pub(crate) fn connected(&self, is_connected: bool) {
        self.0.connected.set(is_connected.into());
    }

    pub(crate) fn containerd(&self, is_up: bool) {
        self.0.containerd_up.set(is_up.into());
    }

    pub(crate) fn docker(&self, is_up: bool) {
        self.0.docker_up.set(is_up.into());
    }

    /// Layers of the Docker Engine whose blobs nobody knows.
    pub(crate) fn nameless(&self, layers: usize) {
        self.0.docker_nameless.set(layers as i64);
    }

    /// The position in the cluster's log at which the last report took effect.
    pub(crate) fn reported(&self, rev: u64) {
        self.0.position.set(rev);
    }

    /// Bytes of layers came that nobody needs yet.
    pub(crate) fn fetched_ahead(&self, bytes: u64) {
        self.0.fetch_bytes.inc_by(bytes);
    }

    pub(crate) fn fetch_ended(&self, outcome: &'static str) {
        self.0.fetches.get_or_create(&ByOutcome { outcome }).inc();
    }

    pub(crate) fn fetches(&self, waiting: usize, running: usize) {
        for (state, count) in [("waiting", waiting), ("running", running)] {
            self.0.fetches_under_way.get_or_create(&ByState { state }).set(count as i64);
        }
    }
}

impl Inner {
    fn register(&self, registry: &mut Registry) {
        let help = "From the first part of an image to its last layer unpacked";
        registry.register_with_unit("image_prepare", help, Unit::Seconds, self.prepare.clone());
        let help = "As image_prepare, as the cluster expected it when it placed the machine";
        registry.register_with_unit("image_prepare_expected", help, Unit::Seconds, self.expected.clone());
        let help = "What it took, over what was expected: 1 is a perfect estimate, 2 took twice as long";
        registry.register_with_unit("image_prepare_error", help, Unit::Other("ratio".to_owned()), self.error.clone());
        let help = "Compressed layers fetched for images that became ready";
        registry.register_with_unit("image_fetched", help, Unit::Bytes, self.fetched.clone());
        let help = "Layers of images that became ready, which lay there before";
        registry.register("image_layers_found", help, self.layers_found.clone());
        let help = "Layers of images that became ready, which were fetched for it";
        registry.register("image_layers_fetched", help, self.layers_fetched.clone());
        registry.register("layers", "Layers on the host, by how far they are", self.layers.clone());
        registry.register("reservations", "Reservations that the host holds", self.reservations.clone());
        registry.register("grants", "Grants, by what was answered to them", self.answers.clone());
        registry.register("connected", "1 while the cluster knows of this connection", self.connected.clone());
        registry.register("containerd_up", "1 while containerd answers", self.containerd_up.clone());
        registry.register("docker_up", "1 while the Docker Engine answers", self.docker_up.clone());
        let help = "Layers of the Docker Engine whose blob is not known: they are told by their content";
        registry.register("docker_layers_without_blob", help, self.docker_nameless.clone());
        let help = "Where in the cluster's log the last report of layers took effect";
        registry.register("reported_position", help, self.position.clone());
        let help = "Compressed bytes of layers that were fetched ahead of need";
        registry.register_with_unit("fetch", help, Unit::Bytes, self.fetch_bytes.clone());
        let help = "Fetches ahead of need that have ended, by how";
        registry.register("fetch_ended", help, self.fetches.clone());
        let help = "Fetches ahead of need that wait or run";
        registry.register("fetch_under_way", help, self.fetches_under_way.clone());
    }

    fn labels(&self, told: &Told) -> ByImage {
        let labels = ByImage { app: told.app.clone(), region: self.region.clone(), image: told.image.clone() };
        let mut known = self.known.lock();
        if known.contains(&labels) {
            return labels;
        }
        if known.len() == IMAGES {
            return ByImage { app: OTHER.to_owned(), region: self.region.clone(), image: OTHER.to_owned() };
        }
        known.push(labels.clone());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Prepared {
        Prepared {
            namespace: "default".to_owned(),
            references: vec!["web:1".to_owned()],
            digest: gantry_types::Digest([1; 32]),
            took: 2_000_000_000,
            layers: 3,
            found: 1,
            fetched_bytes: 700,
            observed: gantry_types::PullObservation::default(),
        }
    }

    #[test]
    fn an_image_has_its_estimate_and_the_estimates_error_beside_it() {
        let metrics = Metrics::new("ord");
        let told = Told { app: "shop".to_owned(), image: "web:1".to_owned(), ready_ms: Some(4_000) };
        metrics.prepared(&prepared(), &told);
        let page = page::text(&metrics).unwrap();
        let labels = "{app=\"shop\",region=\"ord\",image=\"web:1\"}";
        for line in [
            format!("gantry_agent_image_prepare_seconds_sum{labels} 2.0"),
            format!("gantry_agent_image_prepare_expected_seconds_sum{labels} 4.0"),
            format!("gantry_agent_image_prepare_error_ratio_sum{labels} 0.5"),
            format!("gantry_agent_image_fetched_bytes_total{labels} 700"),
            format!("gantry_agent_image_layers_found_total{labels} 1"),
            format!("gantry_agent_image_layers_fetched_total{labels} 2"),
        ] {
            assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn fetches_are_counted_by_their_end() {
        let metrics = Metrics::new("ord");
        metrics.fetched_ahead(7);
        metrics.fetch_ended("ready");
        metrics.fetches(3, 1);
        metrics.nameless(2);
        let page = page::text(&metrics).unwrap();
        for line in [
            "gantry_agent_fetch_bytes_total 7",
            "gantry_agent_fetch_ended_total{outcome=\"ready\"} 1",
            "gantry_agent_fetch_under_way{state=\"waiting\"} 3",
            "gantry_agent_docker_layers_without_blob 2",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn the_page_stays_bounded_however_many_images_come() {
        let metrics = Metrics::new("ord");
        for number in 0..IMAGES + 50 {
            let told = Told { app: "ci".to_owned(), image: format!("build:{number}"), ready_ms: None };
            metrics.prepared(&prepared(), &told);
        }
        let page = page::text(&metrics).unwrap();
        let counts = page.lines().filter(|line| line.starts_with("gantry_agent_image_prepare_seconds_count"));
        assert_eq!(counts.count(), IMAGES + 1);
        let other = "gantry_agent_image_prepare_seconds_count{app=\"other\",region=\"ord\",image=\"other\"} 50";
        assert!(page.contains(other), "{page}");
    }
}
