//! How long images took to become ready on the host, from what the store says at moments.
//!
//! Blobs and unpacked stacks carry the time at which they were done, so most of it is exact however seldom the store is
//! looked at. A *preparation* of an image begins with the first part of it that is newer than the last look at which nothing
//! was going on, and ends with its topmost layer unpacked. Parts that are older were *found*.

use std::collections::{HashMap, HashSet};

use gantry_types::{Digest, PullObservation};

use crate::store::{Contents, Layer, Manifest, Namespace, Nanos};

const NANOS_PER_MS: u64 = 1_000_000;

/// An image that is ready now, and was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub namespace: String,
    /// The names that stand for it.
    pub references: Vec<String>,
    /// Of its manifest.
    pub digest: Digest,
    /// From the first part to the last.
    pub took: Nanos,
    pub layers: usize,
    /// Of these, those that were there already.
    pub found: usize,
    /// Compressed, of the others.
    pub fetched_bytes: u64,
    /// What it says of the host's rates.
    pub observed: PullObservation,
}

/// Work on an image was seen, and there was none before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub namespace: String,
    /// None while no name stands for it: most clients give names last.
    pub references: Vec<String>,
    pub digest: Digest,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub begun: Vec<Begun>,
    pub prepared: Vec<Prepared>,
}

/// What is remembered of each manifest in the store between two looks.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    last: Option<Nanos>,
    work: HashMap<(String, Digest), Work>,
    /// By namespace: layers that no manifest names, of the looks since the last one at which none was coming. An import
    /// brings layers before the manifest that they belong to.
    unnamed: HashMap<String, HashSet<Digest>>,
}

#[derive(Clone, Debug, Default)]
struct Work {
    /// The last look at which nothing was going on: what is newer belongs to the preparation.
    idle: Nanos,
    /// Layers that belong to it although they are older: they came before their manifest.
    early: HashSet<Digest>,
    is_ready: bool,
    has_begun: bool,
    /// When the first byte of a layer was asked for, where that was seen.
    first_byte: Option<Nanos>,
    /// Most blobs on their way to the host at a time, while one was of this image.
    streams: u32,
}

impl Tracker {
    /// Looks at what a store held at a moment: `at` is when reading it began.
    pub(crate) fn look(&mut self, at: Nanos, contents: &Contents) -> News {
        let mut news = News::default();
        let (mut work, mut unnamed) = (HashMap::new(), HashMap::new());
        let last = self.last.replace(at);
        for (name, namespace) in contents {
            let before = self.unnamed.remove(name).unwrap_or_default();
            for (digest, manifest) in &namespace.manifests {
                let Some(top) = top(manifest) else { continue };
                let is_ready = namespace.chains.contains_key(&top);
                let known = self.work.remove(&(name.clone(), *digest));
                // What lay there when the agent started was prepared before its time.
                let unknown = || Work {
                    idle: last.unwrap_or(at),
                    early: manifest.layers.iter().map(|layer| layer.digest).filter(|of| before.contains(of)).collect(),
                    is_ready: last.is_none() && is_ready,
                    ..Work::default()
                };
                let mut state = known.unwrap_or_else(unknown);
                state.follow(last, at, (name, digest), namespace, manifest, &mut news);
                work.insert((name.clone(), *digest), state);
            }
            let coming = last.map(|last| unnamed_layers(last, namespace)).unwrap_or_default();
            if !coming.is_empty() {
                unnamed.insert(name.clone(), before.into_iter().chain(coming).collect());
            }
        }
        (self.work, self.unnamed) = (work, unnamed);
        news
    }
}

impl Work {
    fn follow(
        &mut self,
        last: Option<Nanos>,
        at: Nanos,
        (name, digest): (&str, &Digest),
        namespace: &Namespace,
        manifest: &Manifest,
        news: &mut News,
    ) {
        let references = || references(namespace, digest);
        let is_ready = top(manifest).is_some_and(|top| namespace.chains.contains_key(&top));
        if self.is_ready && is_ready {
            self.idle = at;
            return;
        }
        self.is_ready = false;
        let is_active = self.sees_work(last.unwrap_or(at), namespace, digest, manifest);
        if is_active && !self.has_begun {
            self.has_begun = true;
            news.begun.push(Begun { namespace: name.to_owned(), references: references(), digest: *digest });
        }
        if is_ready {
            // A client may name an image after it unpacked it.
            let references = references();
            if !references.is_empty() {
                news.prepared.push(self.prepared(name, references, digest, namespace, manifest));
                *self = Self { idle: at, is_ready: true, ..Self::default() };
            }
        } else if !is_active {
            *self = Self { idle: at, ..Self::default() };
        }
    }

    /// Whether something is going on for the image, or was since `last`.
    fn sees_work(&mut self, last: Nanos, namespace: &Namespace, digest: &Digest, manifest: &Manifest) -> bool {
        let is_of_it = |digest: &Digest| manifest.layers.iter().any(|layer| layer.digest == *digest);
        let started =
            namespace.ingests.iter().filter(|ingest| is_of_it(&ingest.digest)).map(|ingest| ingest.started).min();
        if let Some(started) = started {
            self.first_byte = Some(self.first_byte.map_or(started, |first| first.min(started)));
            self.streams = self.streams.max(namespace.ingests.len() as u32);
        }
        let is_unpacking = manifest.layers.iter().filter_map(|layer| layer.content).any(|content| {
            namespace.unpacking.contains_key(&content.chain) && !namespace.chains.contains_key(&content.chain)
        });
        started.is_some() || is_unpacking || parts(namespace, digest, manifest).any(|(_, done)| done >= last)
    }

    fn prepared(
        &self,
        name: &str,
        references: Vec<String>,
        digest: &Digest,
        namespace: &Namespace,
        manifest: &Manifest,
    ) -> Prepared {
        let is_new = |part: &Digest, done: Nanos| done >= self.idle || self.early.contains(part);
        let done =
            || parts(namespace, digest, manifest).filter(|(part, done)| is_new(part, *done)).map(|(_, done)| done);
        let end = done().max().unwrap_or(self.idle);
        let first_byte = self.first_byte.filter(|first| *first >= self.idle);
        let began = done().chain(first_byte).min().unwrap_or(end);
        let fetched: Vec<(&Layer, Nanos)> = manifest
            .layers
            .iter()
            .filter_map(|layer| Some((layer, namespace.blobs.get(&layer.digest)?.created)))
            .filter(|(layer, done)| is_new(&layer.digest, *done))
            .collect();
        let fetched_bytes = fetched.iter().map(|(layer, _)| layer.size_bytes).sum();
        let (unpacked_bytes, unpacking) = self.unpacking(began, namespace, manifest);
        let mut observed =
            PullObservation { unpacked_bytes, unpack_ms: unpacking / NANOS_PER_MS, ..PullObservation::default() };
        // What came from a file on the host, or so fast that it was not seen coming, says nothing of the link.
        let is_pulled =
            fetched.iter().all(|(layer, _)| namespace.blobs.get(&layer.digest).is_some_and(|blob| blob.is_pulled));
        if let (Some(first), Some(last)) = (self.first_byte, fetched.iter().map(|(_, done)| *done).max())
            && is_pulled
            && fetched.iter().all(|(_, done)| *done >= first)
        {
            let fetch_ms = last.saturating_sub(first) / NANOS_PER_MS;
            observed = PullObservation { fetched_bytes, fetch_ms, streams: self.streams, ..observed };
        }
        Prepared {
            namespace: name.to_owned(),
            references,
            digest: *digest,
            took: end.saturating_sub(began),
            layers: manifest.layers.len(),
            found: manifest.layers.len() - fetched.len(),
            fetched_bytes,
            observed,
        }
    }

    /// Bytes unpacked, and the time spent on it: each layer from when it was there and the one below it was done.
    fn unpacking(&self, began: Nanos, namespace: &Namespace, manifest: &Manifest) -> (u64, Nanos) {
        let (mut bytes, mut spent, mut below) = (0, 0, began);
        for layer in &manifest.layers {
            let Some(chain) = layer.content.map(|content| content.chain) else { continue };
            let Some(&done) = namespace.chains.get(&chain).filter(|done| **done >= self.idle) else { continue };
            let there = namespace.blobs.get(&layer.digest).map_or(began, |blob| blob.created);
            let could_begin = below.max(there);
            let from = namespace.unpacking.get(&chain).map_or(could_begin, |&began| began.max(could_begin));
            bytes += layer.size_bytes;
            spent += done.saturating_sub(from);
            below = done;
        }
        (bytes, spent)
    }
}

/// Layers that no manifest names yet and that are coming, or have come since `last`.
fn unnamed_layers(last: Nanos, namespace: &Namespace) -> Vec<Digest> {
    let layers = namespace.manifests.values().flat_map(|manifest| &manifest.layers);
    let named: HashSet<&Digest> = layers.map(|layer| &layer.digest).collect();
    let new =
        namespace.blobs.iter().filter(|(_, blob)| blob.is_layer && blob.created >= last).map(|(digest, _)| digest);
    let coming = new.chain(namespace.ingests.iter().map(|ingest| &ingest.digest));
    coming.filter(|digest| !named.contains(digest)).copied().collect()
}

/// When each part of an image that is there was done: documents, blobs, and unpacked layers by their chains.
fn parts<'a>(
    namespace: &'a Namespace,
    digest: &'a Digest,
    manifest: &'a Manifest,
) -> impl Iterator<Item = (Digest, Nanos)> + 'a {
    let blobs = manifest.layers.iter().map(|layer| &layer.digest).chain([digest]);
    let chains = manifest.layers.iter().filter_map(|layer| {
        let chain = layer.content?.chain;
        Some((chain, *namespace.chains.get(&chain)?))
    });
    blobs.filter_map(|digest| Some((*digest, namespace.blobs.get(digest)?.created))).chain(chains)
}

/// The chain of the whole image; nothing while its contents are not known.
fn top(manifest: &Manifest) -> Option<Digest> {
    manifest.layers.last()?.content.map(|content| content.chain)
}

fn references(namespace: &Namespace, digest: &Digest) -> Vec<String> {
    let leads_here = |target: &Digest| {
        target == digest
            || namespace
                .indexes
                .get(target)
                .is_some_and(|entries| entries.iter().any(|(manifest, _)| manifest == digest))
    };
    namespace.images.iter().filter(|(_, target)| leads_here(target)).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests;
