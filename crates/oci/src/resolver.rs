//! From a reference to its layers.

mod walk;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use gantry_types::Digest;
use tokio::time::{Instant, timeout_at};

use crate::{
    Blob, Platform, Reference, Resolved,
    config::{Config, ConfigError},
    error::ResolveError,
    exchange::Budget,
    flights::{Flights, NoFlight},
    registry::{Place, Registries},
};

/// Asks registries. Calls for the same thing at the same time are one; work that began goes on when its caller stops waiting,
/// so a caller with little time leaves it and asks again.
#[derive(Debug)]
pub struct Resolver {
    registries: Arc<Registries>,
    config: Arc<Config>,
    resolves: Flights<(Reference, Platform), Result<Resolved, ResolveError>>,
    checks: Flights<Reference, Result<Digest, ResolveError>>,
}

impl Resolver {
    /// Reads the certificates and passwords that the config names.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            registries: Arc::new(Registries::new(&config)?),
            resolves: Flights::new(config.resolves),
            checks: Flights::new(config.resolves),
            config: Arc::new(config),
        })
    }

    /// The image that a reference stands for on a platform. Every digest is that of what was read, not of what was said.
    pub async fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, ResolveError> {
        let key = (reference.clone(), platform.clone());
        let (registries, config) = (Arc::clone(&self.registries), Arc::clone(&self.config));
        let outcome = self.resolves.join(key.clone(), || async move {
            let (reference, platform) = &key;
            let registries = &*registries;
            let walk = |place: Place, budget| async move {
                walk::resolve(&walk::Source { registries, place: &place, budget }, reference, platform).await
            };
            first(&config, reference, walk).await
        });
        self.landed(reference, outcome.await)
    }

    /// What a reference stands for now: a manifest, or an index of some. A registry is believed here, so that finding out
    /// whether a tag has moved costs one request without a body: compare it with [`Resolved::named`].
    pub async fn digest_of(&self, reference: &Reference) -> Result<Digest, ResolveError> {
        if let Some(digest) = reference.digest() {
            return Ok(digest);
        }
        let key = reference.clone();
        let (registries, config) = (Arc::clone(&self.registries), Arc::clone(&self.config));
        let outcome = self.checks.join(key.clone(), || async move {
            let (registries, reference) = (&*registries, &key);
            let check = |place: Place, budget| async move {
                walk::check(&walk::Source { registries, place: &place, budget }, reference).await
            };
            first(&config, reference, check).await
        });
        self.landed(reference, outcome.await)
    }

    /// The bytes of a manifest or an index, by its digest, which they have.
    pub async fn manifest(&self, reference: &Reference, digest: Digest) -> Result<Bytes, ResolveError> {
        let registries = &*self.registries;
        let ask = |place: Place, budget| async move {
            walk::Source { registries, place: &place, budget }.manifest_bytes(digest).await
        };
        first(&self.config, reference, ask).await
    }

    /// The bytes of the config that a manifest of the reference names, by its digest, which they have.
    pub async fn image_config(&self, reference: &Reference, digest: Digest) -> Result<Bytes, ResolveError> {
        let registries = &*self.registries;
        let ask = |place: Place, budget| async move {
            walk::Source { registries, place: &place, budget }.config_bytes(digest).await
        };
        first(&self.config, reference, ask).await
    }

    /// Begins to fetch a blob, from a byte on. Of a registry with mirrors each try asks another place: the mirrors in their
    /// order, and then the registry itself.
    pub async fn blob(
        &self,
        reference: &Reference,
        digest: Digest,
        from: u64,
        tried: usize,
    ) -> Result<Blob, ResolveError> {
        let mut places = Place::all(&self.config, reference);
        let place = places.swap_remove(tried.min(places.len() - 1));
        let deadline = Instant::now() + Duration::from_millis(self.config.total_ms);
        let (digest, budget) = (digest.to_string(), Budget { deadline, tries: self.config.tries });
        let opened = timeout_at(deadline, self.registries.open(&place, &digest, from, budget)).await;
        opened.unwrap_or_else(|_| Err(timed_out(&self.config, reference)))
    }

    /// How many places have the blobs of a reference, the registry itself and its mirrors.
    pub fn places(&self, reference: &Reference) -> usize {
        Place::all(&self.config, reference).len()
    }

    fn landed<T>(
        &self,
        reference: &Reference,
        outcome: Result<Result<T, ResolveError>, NoFlight>,
    ) -> Result<T, ResolveError> {
        outcome.unwrap_or_else(|none| match none {
            NoFlight::Full => Err(ResolveError::Full { limit: self.config.resolves }),
            NoFlight::Lost => Err(timed_out(&self.config, reference)),
        })
    }
}

/// What the first place has that has something: a mirror that fails is passed over, and the registry itself has the last word.
async fn first<T, F>(
    config: &Config,
    reference: &Reference,
    ask: impl Fn(Place, Budget) -> F,
) -> Result<T, ResolveError>
where
    F: Future<Output = Result<T, ResolveError>>,
    T: fmt::Debug,
{
    let deadline = Instant::now() + Duration::from_millis(config.total_ms);
    let mut places = Place::all(config, reference);
    let Some(registry) = places.pop() else { return Err(timed_out(config, reference)) };
    let mut left = u32::try_from(places.len()).unwrap_or(u32::MAX).saturating_add(1);
    for mirror in places {
        // A mirror that hangs leaves the others their share, and one that is busy is not waited for.
        let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
        left -= 1;
        let host = mirror.host.clone();
        match timeout_at(share, ask(mirror, Budget { deadline: share, tries: 1 })).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => tracing::debug!(%reference, host, %error, "a mirror is passed over"),
            Err(_) => tracing::debug!(%reference, host, "a mirror is too slow"),
        }
    }
    let answer = timeout_at(deadline, ask(registry, Budget { deadline, tries: config.tries })).await;
    answer.unwrap_or_else(|_| Err(timed_out(config, reference)))
}

fn timed_out(config: &Config, reference: &Reference) -> ResolveError {
    ResolveError::TimedOut { reference: reference.to_string(), limit: Duration::from_millis(config.total_ms) }
}
