//! What images are that nobody has recorded: their registries are asked, by the leader.
//!
//! A call that names such an image waits for the answer a little, and is decided without it when that time is over; the answer
//! is recorded all the same, for those who come after. What a tag stands for is looked up again from time to time, after it
//! was used, and when a registry says that something was pushed.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::Context;
use gantry_fleet::Fleet;
use gantry_machine::RecordImage;
use gantry_oci::{Flights, Platform, Reference, ResolveError, Resolver};
use gantry_types::{Digest, Image};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    call::{Call, What},
    config,
    node::Node,
};

/// References about which something is remembered. Beyond that all of it is forgotten: it is only good for asking less.
const REMEMBERED: usize = 65_536;
/// How long somebody waits who only wants to see it.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// Pauses until a registry is asked again that has told of a push.
const MOVES_WITHIN: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5)];
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
    /// What it stood for by its registry: a manifest or an index.
    named: Option<Digest>,
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
        let seen = Mutex::default();
        Ok(Self(Some(Arc::new(Inner { resolver, platform, budget, check_after, flights, seen }))))
    }

    /// Takes a call that had better wait, and hands it on when it need not wait any more; gives back one that need not wait.
    pub(crate) fn first(&self, node: &Node, call: Call) -> Option<Call> {
        let Some(inner) = self.0.as_ref().filter(|_| node.consensus().role().borrow().is_leader) else {
            return Some(call);
        };
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
        let latest = Instant::now() + inner.budget;
        let until = call.deadline.map_or(latest, |deadline| deadline.min(latest));
        tokio::spawn(async move {
            // In time or not: it is decided with what is known then.
            let _ = timeout_at(until, inner.look_up(&node, &reference)).await;
            node.decide_now(call);
        });
        None
    }

    /// Waits, not for ever, until an image is known that is not.
    pub(crate) async fn know(&self, node: &Node, reference: &str) {
        let Some(inner) = self.0.as_ref().filter(|_| node.consensus().role().borrow().is_leader) else { return };
        let need = inner.need(&node.state().read().fleet, reference, Instant::now());
        if need == Need::Wait {
            let _ = timeout(SHOWN_WITHIN, Arc::clone(inner).look_up(node, reference)).await;
        }
    }

    /// Something was pushed, and is of that digest: images that stand under that name, in whatever way users write it, are
    /// looked up at once.
    pub(crate) fn pushed(&self, node: &Node, pushed: &Reference, digest: Digest) {
        let Some(inner) = &self.0 else { return };
        let is_it = |image: &Image| Reference::parse(&image.reference).is_ok_and(|known| known == *pushed);
        let state = node.state();
        let references: Vec<String> = {
            let state = state.read();
            let images = state.fleet.images_after("").filter(|entry| is_it(&entry.image));
            images.map(|entry| entry.image.reference.clone()).collect()
        };
        tracing::info!(%pushed, known = references.len(), "a registry tells of a push");
        for reference in references {
            let (inner, node) = (Arc::clone(inner), node.clone());
            tokio::spawn(async move { inner.until_moved(&node, &reference, digest).await });
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
        match seen.get(reference) {
            Some(seen) if now < seen.not_before => Need::Nothing,
            Some(_) if is_known => Need::Check,
            // Who leads now was not there when it was recorded.
            None if is_known => {
                remember(&mut seen, reference, Seen { not_before: now + self.check_after, named: None });
                Need::Nothing
            }
            Some(_) | None => Need::Wait,
        }
    }

    /// Asks the registry what a reference stands for, once for all who ask at the same time, and records it.
    async fn look_up(self: Arc<Self>, node: &Node, reference: &str) {
        let work = || {
            // Work that nobody waits for any more keeps no node that has ended.
            let (inner, node, reference) = (Arc::downgrade(&self), node.clone(), reference.to_owned());
            async move { Self::land(&inner, &node, &reference).await }
        };
        let _ = self.flights.join(reference.to_owned(), work).await;
    }

    /// Looks a reference up until it stands for what was pushed, a few times: registries tell before they have moved the tag.
    async fn until_moved(self: Arc<Self>, node: &Node, reference: &str, digest: Digest) {
        for pause in MOVES_WITHIN {
            Arc::clone(&self).look_up(node, reference).await;
            if self.seen.lock().get(reference).is_some_and(|seen| seen.named == Some(digest)) {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn land(inner: &Weak<Self>, node: &Node, reference: &str) {
        let Some(inner) = inner.upgrade() else { return };
        let (named, again) = match inner.resolve(node, reference).await {
            Ok(named) => (Some(named), inner.check_after),
            Err(error) => {
                let again = if error.is_temporary() { TEMPORARY } else { LASTING };
                tracing::warn!(reference, %error, "the image was not looked up");
                (None, again)
            }
        };
        let not_before = Instant::now() + again;
        remember(&mut inner.seen.lock(), reference, Seen { not_before, named });
    }

    /// Records what a reference stands for, where that is news, and says what the registry calls it.
    async fn resolve(&self, node: &Node, reference: &str) -> Result<Digest, ResolveError> {
        let parsed = Reference::parse(reference)
            .map_err(|error| ResolveError::Unusable { at: reference.to_owned(), why: error.to_string() })?;
        let before = self.seen.lock().get(reference).and_then(|seen| seen.named);
        if let Some(before) = before
            && self.resolver.digest_of(&parsed).await? == before
        {
            return Ok(before);
        }
        let resolved = self.resolver.resolve(&parsed, &self.platform).await?;
        let image = resolved.image(reference);
        let is_news = node.state().read().fleet.image(reference).is_none_or(|known| *known.image != image);
        if is_news {
            let layers = image.layers.len();
            match node.command(RecordImage { image }, None).await {
                Ok(_) => tracing::info!(reference, digest = %resolved.digest, layers, "the image was looked up"),
                Err(error) => {
                    let why = gantry_proto::WireError::from(error).to_string();
                    return Err(ResolveError::Unusable { at: reference.to_owned(), why });
                }
            }
        }
        Ok(resolved.named())
    }
}

fn remember(seen: &mut HashMap<String, Seen>, reference: &str, what: Seen) {
    if seen.len() >= REMEMBERED && !seen.contains_key(reference) {
        seen.clear();
    }
    seen.insert(reference.to_owned(), what);
}
