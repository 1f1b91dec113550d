//! What this process counts and measures, in the format that Prometheus scrapes.
//!
//! Score terms, estimates and refusals are those that answers carry: what a caller is told of one placement is found here
//! summed over all, and with `log_choices` line by line in the log. Times are in seconds and sizes in bytes.

mod page;
mod standing;

use std::{sync::Arc, time::Duration};

use gantry_placement::{Choice, TERMS};
use gantry_proto::v1::FetchState;
use gantry_types::{Refused, RejectionGroup};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

pub(crate) use self::page::serve;
use self::standing::Standing;
use crate::call::{Answer, Answered, CallError, Placed};

/// Upper bounds, in seconds, of waits for an image and of what a score term takes them for: a GPU stranded is a minute.
const WAIT_S: [f64; 12] = [0.0, 0.01, 0.1, 0.5, 1.0, 3.0, 6.0, 15.0, 30.0, 60.0, 180.0, 600.0];
/// Upper bounds, in seconds, of the time from a call to its answer.
const CALL_S: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByConstraint {
    constraint: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByTerm {
    term: &'static str,
}

/// A handle of one process's metrics; its clones count into the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    standing: Standing,
    calls: Family<ByOutcome, Counter>,
    call_time: Histogram,
    machines: Counter,
    missing: Counter,
    refusing: Family<ByConstraint, Counter>,
    /// One for each of [`TERMS`], in that order.
    terms: [Histogram; TERMS.len()],
    ready: Histogram,
    image_bytes: Counter,
    present_bytes: Counter,
    unknown_images: Counter,
    look_ups: Family<ByOutcome, Histogram>,
    fetches: Family<ByOutcome, Counter>,
    fetched_bytes: Counter,
    log_choices: bool,
}

impl Metrics {
    /// `log_choices`: each choice and each refusal is also a line of the log.
    pub(crate) fn new(log_choices: bool) -> Self {
        let mut registry = Registry::with_prefix("gantry");
        let standing = Standing::registered(&mut registry);
        let terms = Family::<ByTerm, Histogram>::new_with_constructor(|| Histogram::new(WAIT_S));
        let inner = Inner {
            standing,
            calls: Family::default(),
            call_time: Histogram::new(CALL_S),
            machines: Counter::default(),
            missing: Counter::default(),
            refusing: Family::default(),
            terms: std::array::from_fn(|at| terms.get_or_create(&ByTerm { term: TERMS[at].name }).clone()),
            ready: Histogram::new(WAIT_S),
            image_bytes: Counter::default(),
            present_bytes: Counter::default(),
            unknown_images: Counter::default(),
            look_ups: Family::new_with_constructor(|| Histogram::new(CALL_S)),
            fetches: Family::default(),
            fetched_bytes: Counter::default(),
            log_choices,
            registry: Registry::default(),
        };
        registry.register_with_unit(
            "score_term",
            "What a score term said about the chosen host; of what it takes off, the amount",
            Unit::Seconds,
            terms,
        );
        inner.register(&mut registry);
        Self(Arc::new(Inner { registry, ..inner }))
    }

    /// Counts what a caller is told, `took` after it asked.
    pub(crate) fn answered(&self, answer: &Answer, took: Duration) {
        let inner = &self.0;
        inner.calls.get_or_create(&ByOutcome { outcome: outcome(answer) }).inc();
        inner.call_time.observe(took.as_secs_f64());
        match answer {
            Ok(Answered::Placed(placed)) => inner.placed(placed),
            Err(CallError::Refused(Refused::NoCapacity { hosts, groups, .. })) => inner.refused(*hosts, groups),
            _ => {}
        }
    }
}

impl Metrics {
    /// Counts a look at a registry.
    pub(crate) fn looked_up(&self, outcome: &'static str, took: Duration) {
        self.0.look_ups.get_or_create(&ByOutcome { outcome }).observe(took.as_secs_f64());
    }

    /// Counts a fetch ahead that is over on a host.
    pub(crate) fn fetched(&self, state: FetchState, bytes: u64) {
        let outcome = match state {
            FetchState::Ready => "READY",
            FetchState::Cancelled => "CANCELLED",
            _ => "FAILED",
        };
        self.0.fetches.get_or_create(&ByOutcome { outcome }).inc();
        self.0.fetched_bytes.inc_by(bytes);
    }
}

impl Inner {
    fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Calls answered, by what the answer was", self.calls.clone());
        let help = "From a call to its answer";
        registry.register_with_unit("call_duration", help, Unit::Seconds, self.call_time.clone());
        registry.register("machines_placed", "Machines that were given a host", self.machines.clone());
        registry.register("machines_missing", "Machines left out of requests placed in part", self.missing.clone());
        let help = "Hosts that a constraint refused, in answers that refused something";
        registry.register("hosts_refused", help, self.refusing.clone());
        let help = "Expected wait for a placed machine's image";
        registry.register_with_unit("ready_expected", help, Unit::Seconds, self.ready.clone());
        let help = "Compressed size of the images of placed machines";
        registry.register_with_unit("image", help, Unit::Bytes, self.image_bytes.clone());
        let help = "As gantry_image_bytes, the part that the chosen hosts had already";
        registry.register_with_unit("image_present", help, Unit::Bytes, self.present_bytes.clone());
        let help = "Machines placed without knowledge of their image";
        registry.register("images_unknown", help, self.unknown_images.clone());
        let help = "Looks at registries for what a reference stands for, by what came of it";
        registry.register_with_unit("image_look_up", help, Unit::Seconds, self.look_ups.clone());
        registry.register("fetches_ahead", "Fetches ahead that are over, by how they ended", self.fetches.clone());
        let help = "Compressed bytes that hosts fetched ahead";
        registry.register_with_unit("fetched_ahead", help, Unit::Bytes, self.fetched_bytes.clone());
    }

    /// An answer that is given again has no choices: they were counted when they were made.
    fn placed(&self, placed: &Placed) {
        if !placed.choices.is_empty() {
            self.machines.inc_by(placed.choices.len() as u64);
            self.missing.inc_by(placed.missing.into());
        }
        self.rejected(&placed.rejections);
        for (at, choice) in placed.choices.iter().enumerate() {
            self.chosen(choice);
            if self.log_choices {
                log_choice(placed, at, choice);
            }
        }
    }

    fn chosen(&self, choice: &Choice) {
        for (histogram, cost_us) in self.terms.iter().zip(choice.costs_us) {
            histogram.observe(seconds(cost_us.unsigned_abs()));
        }
        if choice.image_known {
            self.ready.observe(seconds(choice.estimate.ready_us));
            self.image_bytes.inc_by(choice.image_bytes);
            self.present_bytes.inc_by(choice.present_bytes);
        } else {
            self.unknown_images.inc();
        }
    }

    fn refused(&self, hosts: usize, groups: &[RejectionGroup]) {
        self.rejected(groups);
        if self.log_choices {
            let why: Vec<String> = groups.iter().map(ToString::to_string).collect();
            tracing::info!(hosts, why = why.join("; "), "no host fits");
        }
    }

    fn rejected(&self, groups: &[RejectionGroup]) {
        for group in groups {
            let constraint = group.example.constraint;
            self.refusing.get_or_create(&ByConstraint { constraint }).inc_by(group.hosts as u64);
        }
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn log_choice(placed: &Placed, at: usize, choice: &Choice) {
    let (Some(row), Some(host)) = (placed.reservations.get(at), placed.hosts.get(at)) else { return };
    let terms: Vec<String> =
        TERMS.iter().zip(choice.costs_us).map(|(term, us)| format!("{}={us}", term.name)).collect();
    tracing::info!(
        reservation = %row.id,
        app = row.app,
        host = host.name,
        ready_ms = choice.estimate.ready_us.div_ceil(1_000),
        terms_us = terms.join(" "),
        image_known = choice.image_known,
        image_bytes = choice.image_bytes,
        present_bytes = choice.present_bytes,
        "placed"
    );
}

/// A word for each answer, so that there are few.
fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Ok(Answered::Placed(placed)) if placed.missing > 0 => "PLACED_IN_PART",
        Ok(Answered::Placed(_)) => "PLACED",
        Ok(Answered::Volume { .. }) => "VOLUME_CREATED",
        Ok(Answered::Did(_)) => "DONE",
        Err(CallError::Refused(refused)) => refused.reason(),
        Err(CallError::NotLeader(_)) => "NOT_LEADER",
        Err(CallError::Overloaded) => "OVERLOADED",
        Err(CallError::DiskFull(_)) => "DISK_FULL",
        Err(CallError::Deadline) => "DEADLINE",
        Err(CallError::TooLarge { .. }) => "TOO_LARGE",
        Err(CallError::Unknown(_)) => "OUTCOME_UNKNOWN",
        Err(CallError::Stopped) => "STOPPED",
    }
}
