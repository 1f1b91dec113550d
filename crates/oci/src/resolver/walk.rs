//! From document to document: an index names manifests, a manifest its config and layers, a config their contents.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use gantry_types::Digest;
use http::StatusCode;

use crate::{
    Layer, Platform, Reference, Resolved,
    document::{self, Config, Document, Entry, Malformed, Manifest, digest_of},
    error::ResolveError,
    exchange::{Answer, Budget, shown},
    registry::{Place, Registries, Thing},
};

const MANIFEST_BYTES: usize = 4 << 20;
const CONFIG_BYTES: usize = 8 << 20;
/// An index may name an index, and that one only manifests.
const INDEX_DEPTH: usize = 2;
/// Manifests and indexes looked at for one image: more than one where an index does not say what its manifests are for.
const MANIFESTS: usize = 8;
const PLATFORMS_SHOWN: usize = 10;
const DIGEST_HEADER: &str = "docker-content-digest";

/// One place that is asked, and how far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub registries: &'a Registries,
    pub place: &'a Place,
    pub budget: Budget,
}

/// A document with the digest that it really has.
struct Read {
    at: String,
    digest: Digest,
    document: Document,
}

pub(super) async fn resolve(
    source: &Source<'_>,
    reference: &Reference,
    wanted: &Platform,
) -> Result<Resolved, ResolveError> {
    let top = source.manifest(&reference.key(), reference.digest()).await?;
    let (top_at, top_digest) = (top.at.clone(), top.digest);
    let mut offered = BTreeSet::new();
    let mut waiting = VecDeque::new();
    let mut current = Some((top, 1));
    let mut looked_at = 1;
    loop {
        if let Some((read, depth)) = current.take() {
            match read.document {
                Document::Index(_) if depth > INDEX_DEPTH => {
                    let why = format!("it is an index within indexes: more than {INDEX_DEPTH} deep is not followed");
                    return Err(ResolveError::Unusable { at: read.at, why });
                }
                Document::Index(entries) => {
                    offered.extend(offers(&entries));
                    waiting
                        .extend(document::candidates(&entries, wanted).into_iter().map(|digest| (digest, depth + 1)));
                }
                Document::Manifest(manifest) => {
                    let config = source.config(&read.at, manifest.config).await?;
                    let found = config.platform.clone().unwrap_or_else(|| wanted.clone());
                    if wanted.distance(&found).is_some() {
                        let index = (read.digest != top_digest).then_some(top_digest);
                        let layers = layers(&read.at, &manifest, &config)?;
                        let reference = reference.clone();
                        return Ok(Resolved { reference, digest: read.digest, index, platform: found, layers });
                    }
                    offered.insert(found.to_string());
                }
                Document::Config(_) => {
                    let why = "it is a config, where a manifest belongs".to_owned();
                    return Err(ResolveError::Unusable { at: read.at, why });
                }
            }
        }
        let Some((digest, depth)) = waiting.pop_front().filter(|_| looked_at < MANIFESTS) else {
            return Err(nothing_for(top_at, wanted, offered));
        };
        looked_at += 1;
        current = Some((source.manifest(&digest.to_string(), Some(digest)).await?, depth));
    }
}

/// The digest that the place says a reference has.
pub(super) async fn check(source: &Source<'_>, reference: &Reference) -> Result<Digest, ResolveError> {
    let head = source.registries.head(source.place, &reference.key(), source.budget).await?;
    let said = head.headers.get(DIGEST_HEADER).and_then(|value| value.to_str().ok());
    let said = said.and_then(|text| Digest::parse(DIGEST_HEADER, text).ok());
    match (head.status, said) {
        (StatusCode::OK, Some(digest)) => Ok(digest),
        // Not every registry answers HEAD, and not each that does says the digest.
        _ => Ok(source.manifest(&reference.key(), None).await?.digest),
    }
}

impl Source<'_> {
    pub(super) async fn manifest_bytes(&self, digest: Digest) -> Result<Bytes, ResolveError> {
        let key = digest.to_string();
        let answer = self.registries.get(self.place, Thing::Manifest(&key), MANIFEST_BYTES, self.budget).await?;
        read(&answer, Some(digest)).map(|_| answer.body)
    }

    pub(super) async fn config_bytes(&self, digest: Digest) -> Result<Bytes, ResolveError> {
        let key = digest.to_string();
        let answer = self.registries.get(self.place, Thing::Blob(&key), CONFIG_BYTES, self.budget).await?;
        read(&answer, Some(digest)).map(|_| answer.body)
    }

    async fn manifest(&self, key: &str, expected: Option<Digest>) -> Result<Read, ResolveError> {
        let answer = self.registries.get(self.place, Thing::Manifest(key), MANIFEST_BYTES, self.budget).await?;
        read(&answer, expected)
    }

    async fn config(&self, manifest: &str, digest: Digest) -> Result<Config, ResolveError> {
        let key = digest.to_string();
        let answer = self.registries.get(self.place, Thing::Blob(&key), CONFIG_BYTES, self.budget).await?;
        match read(&answer, Some(digest))?.document {
            Document::Config(config) => Ok(config),
            Document::Index(_) | Document::Manifest(_) => {
                let why = format!("{digest}, which it names as its config, is none");
                Err(ResolveError::Unusable { at: manifest.to_owned(), why })
            }
        }
    }
}

/// Checks what was read against the digest that it was asked for by.
fn read(answer: &Answer, expected: Option<Digest>) -> Result<Read, ResolveError> {
    let (at, digest) = (shown(&answer.uri), digest_of(&answer.body));
    let document = Document::parse(&answer.body);
    let unusable = |why: &Malformed| ResolveError::Unusable { at: at.clone(), why: why.to_string() };
    // Schema 1 has a digest of its own kind, so its name is the better answer.
    if let Err(why @ Malformed::Schema1) = &document {
        return Err(unusable(why));
    }
    if let Some(expected) = expected.filter(|expected| *expected != digest) {
        let why = format!("it was asked for {expected}, and what it sent has the digest {digest}");
        return Err(ResolveError::Broken { at, why });
    }
    let document = document.map_err(|why| unusable(&why))?;
    Ok(Read { at, digest, document })
}

fn layers(at: &str, manifest: &Manifest, config: &Config) -> Result<Vec<Layer>, ResolveError> {
    let (blobs, contents) = (manifest.layers.len(), config.diff_ids.len());
    let unusable = |why: String| Err(ResolveError::Unusable { at: at.to_owned(), why });
    if blobs != contents {
        return unusable(format!("it has {blobs} layers, and its config names the contents of {contents}"));
    }
    if blobs == 0 {
        return unusable("it has no layers".to_owned());
    }
    let layer = |(layer, diff_id): (&document::Layer, &Digest)| Layer {
        digest: layer.digest,
        diff_id: *diff_id,
        size_bytes: layer.size_bytes,
        compression: layer.compression,
        is_foreign: layer.is_foreign,
    };
    Ok(manifest.layers.iter().zip(&config.diff_ids).map(layer).collect())
}

fn offers(entries: &[Entry]) -> impl Iterator<Item = String> {
    let images = entries.iter().filter(|entry| !entry.is_attestation());
    images.filter_map(|entry| Some(entry.platform.as_ref()?.to_string()))
}

fn nothing_for(at: String, wanted: &Platform, offered: BTreeSet<String>) -> ResolveError {
    let offered: Vec<String> = offered.into_iter().take(PLATFORMS_SHOWN).collect();
    let offered = if offered.is_empty() { "no platform at all".to_owned() } else { offered.join(", ") };
    ResolveError::Unusable { at, why: format!("it has nothing for {wanted}, but for {offered}") }
}
