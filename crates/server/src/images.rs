//! What images are that nobody has recorded: their registries are asked, by the leader.
//!
//! A call that names such an image waits for the answer a little, and is decided without it when that time is over; the answer
//! is recorded all the same, for those who come after. What a tag stands for is looked up again from time to time, after it
//! was used, and when a registry says that something was pushed.

mod pushes;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use gantry_fleet::Fleet;
use gantry_machine::RecordImage;
use gantry_oci::{Flights, Platform, Reference, ResolveError, Resolver};
use gantry_types::Digest;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use self::pushes::Pushes;
use crate::{
    call::{Call, CallError, What},
    config,
    node::Node,
};

/// References about which something is remembered. Beyond that failures are forgotten, and where that is not enough all of
/// it: it is only good for asking less.
const REMEMBERED: usize = 65_536;
/// How long somebody waits who only wants to see it: a client tries for longer.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);
/// After a failure that may be over soon, and after one that somebody has to mend.
const TEMPORARY: Duration = Duration::from_secs(5);
const LASTING: Duration = Duration::from_secs(60);

/// The way to the registries, where there is one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Images(Option<Arc<Inner>>);

struct Inner {
    resolver: Resolver,
    platform: Platform,
    budget: Duration,
    check_after: Duration,
    flights: Flights<String, ()>,
    seen: Mutex<HashMap<String, Seen>>,
    /// Calls that wait for an image.
    waiting: AtomicUsize,
    pushes: Pushes,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Images")
    }
}

/// What is remembered of a reference.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Nothing is asked before.
    not_before: Instant,
    stood_for: Option<StoodFor>,
}

/// What a reference stood for when its registry was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoodFor {
    /// By the registry: a manifest or an index.
    named: Digest,
    /// The manifest that was recorded.
    manifest: Digest,
}

/// Why a reference was not looked up.
#[derive(Debug, thiserror::Error)]
enum NotLookedUp {
    #[error(transparent)]
    Registry(#[from] ResolveError),
    #[error("it is not recorded: {0}")]
    NotRecorded(gantry_proto::WireError, bool),
}

impl NotLookedUp {
    fn is_temporary(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_temporary(),
            Self::NotRecorded(_, is_temporary) => *is_temporary,
        }
    }
}

/// Whether a registry has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Nobody knows the image: whoever names it waits.
    Wait,
    /// It is known, and may have moved.
    Check,
}

impl Images {
    /// Reads the certificates and passwords that the config names.
    pub(crate) fn new(config: config::Images) -> anyhow::Result<Self> {
        let config::Images { platform, budget_ms, check_after_seconds, registries } = config;
        let platform = Platform::parse("images.platform", &platform)?;
        let flights = Flights::new(registries.resolves);
        let resolver = Resolver::new(registries).context("images.registries")?;
        let (budget, check_after) = (Duration::from_millis(budget_ms), Duration::from_secs(check_after_seconds));
        let (seen, waiting, pushes) = Default::default();
        Ok(Self(Some(Arc::new(Inner { resolver, platform, budget, check_after, flights, seen, waiting, pushes }))))
    }

    /// Nothing where nobody leads here: who leads asks.
    fn leading(&self, node: &Node) -> Option<&Arc<Inner>> {
        self.0.as_ref().filter(|_| node.consensus().role().borrow().is_leader)
    }

    /// Takes a call that had better wait, and hands it on when it need not wait any more; gives back one that need not wait.
    pub(crate) fn first(&self, node: &Node, call: Call) -> Option<Call> {
        let Some(inner) = self.leading(node) else { return Some(call) };
        let Some(reference) = wanted(&call.what) else { return Some(call) };
        let need = inner.need(&node.state().read().fleet, reference, Instant::now());
        if need == Need::Nothing {
            return Some(call);
        }
        let (inner, node, reference) = (Arc::clone(inner), node.clone(), reference.to_owned());
        if need == Need::Check {
            tokio::spawn(async move { inner.look_up(&node, &reference).await });
            return Some(call);
        }
        if inner.waiting.load(Relaxed) >= node.limits().waiting_calls {
            return Some(call);
        }
        // Half of the caller's time is left for the decision.
        let now = Instant::now();
        let patience =
            call.deadline.map_or(inner.budget, |deadline| (deadline.duration_since(now) / 2).min(inner.budget));
        inner.waiting.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            // In time or not: it is decided with what is known then.
            let _ = timeout_at(now + patience, Arc::clone(&inner).look_up(&node, &reference)).await;
            inner.waiting.fetch_sub(1, Relaxed);
            node.decide_now(call);
        });
        None
    }

    /// Whether each of three calls in a row would check an image.
    #[cfg(test)]
    pub(crate) fn needs_check(&self, node: &Node, reference: &str) -> [bool; 3] {
        let (inner, state) = (self.0.as_ref().expect("registries are asked"), node.state());
        [(); 3].map(|()| inner.need(&state.read().fleet, reference, Instant::now()) == Need::Check)
    }

    /// Waits, not for ever, until an image is known that is not.
    pub(crate) async fn know(&self, node: &Node, reference: &str, deadline: Option<Instant>) {
        let Some(inner) = self.leading(node) else { return };
        let now = Instant::now();
        if inner.need(&node.state().read().fleet, reference, now) == Need::Wait {
            let left = deadline.map_or(SHOWN_WITHIN, |deadline| deadline.duration_since(now) / 2);
            let until = now + left.min(SHOWN_WITHIN);
            let _ = timeout_at(until, Arc::clone(inner).look_up(node, reference)).await;
        }
    }
}

/// The image that a call would be decided by.
fn wanted(what: &What) -> Option<&str> {
    let image = match what {
        What::Place { request, .. } if !request.image_blind => &request.image,
        What::CreateVolume { request, .. } => &request.compute_image,
        What::Place { .. } | What::Command(_) => return None,
    };
    (!image.is_empty()).then_some(image)
}

impl Inner {
    fn need(&self, fleet: &Fleet, reference: &str, now: Instant) -> Need {
        let is_known = fleet.image(reference).is_some();
        let mut seen = self.seen.lock();
        match seen.get_mut(reference) {
            Some(seen) if now < seen.not_before => Need::Nothing,
            Some(seen) if is_known => {
                // Once for all who come until it is done.
                seen.not_before = now + TEMPORARY;
                Need::Check
            }
            // Who leads now was not there when it was recorded.
            None if is_known => {
                remember(&mut seen, reference, Seen { not_before: now + self.check_after, stood_for: None });
                Need::Nothing
            }
            Some(_) | None => Need::Wait,
        }
    }

    /// Asks the registry what a reference stands for, once for all who ask at the same time, and records it.
    async fn look_up(self: Arc<Self>, node: &Node, reference: &str) {
        let work = || {
            let (inner, node, reference) = (Arc::clone(&self), node.clone(), reference.to_owned());
            async move { inner.land(&node, &reference).await }
        };
        let _ = self.flights.join(reference.to_owned(), work).await;
    }

    async fn land(&self, node: &Node, reference: &str) {
        let started = Instant::now();
        let resolved = self.resolve(node, reference).await;
        let outcome = if resolved.is_ok() { "DONE" } else { "FAILED" };
        node.metrics().looked_up(outcome, started.elapsed());
        let (stood_for, again) = match resolved {
            Ok(stands_for) => (Some(stands_for), self.check_after),
            Err(error) => {
                let again = if error.is_temporary() { TEMPORARY } else { LASTING };
                tracing::warn!(reference, %error, "the image was not looked up");
                (None, again)
            }
        };
        let not_before = Instant::now() + again;
        remember(&mut self.seen.lock(), reference, Seen { not_before, stood_for });
    }

    /// Records what a reference stands for, where that is news.
    async fn resolve(&self, node: &Node, reference: &str) -> Result<StoodFor, NotLookedUp> {
        let parsed = Reference::parse(reference)
            .map_err(|error| ResolveError::Unusable { at: reference.to_owned(), why: error.to_string() })?;
        let before = self.stood_for(reference);
        // Somebody else may have recorded another manifest since.
        let is_recorded = |before: &StoodFor| {
            let state = node.state();
            let state = state.read();
            state.fleet.image(reference).is_some_and(|entry| entry.image.digest == before.manifest.0)
        };
        if let Some(before) = before.filter(is_recorded)
            && self.resolver.digest_of(&parsed).await? == before.named
        {
            return Ok(before);
        }
        let resolved = self.resolver.resolve(&parsed, &self.platform).await?;
        let image = resolved.image(reference);
        let stands_for = StoodFor { named: resolved.named(), manifest: resolved.digest };
        let is_news = node.state().read().fleet.image(reference).is_none_or(|known| *known.image != image);
        if is_news {
            let layers = image.layers.len();
            if let Err(error) = node.command(RecordImage { image }, None).await {
                let is_temporary = !matches!(error, CallError::Refused(_));
                return Err(NotLookedUp::NotRecorded(error.into(), is_temporary));
            }
            tracing::info!(reference, digest = %resolved.digest, layers, "the image was looked up");
        }
        Ok(stands_for)
    }

    fn stood_for(&self, reference: &str) -> Option<StoodFor> {
        self.seen.lock().get(reference)?.stood_for
    }
}

fn remember(seen: &mut HashMap<String, Seen>, reference: &str, what: Seen) {
    if seen.len() >= REMEMBERED && !seen.contains_key(reference) {
        seen.retain(|_, seen| seen.stood_for.is_some());
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
    }
    seen.insert(reference.to_owned(), what);
}
