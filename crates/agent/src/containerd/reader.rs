//! Reads all that counts of a store.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use containerd_client::{
    services::v1::{
        Info, ListContentRequest, ListImagesRequest, ListNamespacesRequest, ListStatusesRequest,
        content_client::ContentClient,
        images_client::ImagesClient,
        namespaces_client::NamespacesClient,
        snapshots::{Kind, ListSnapshotsRequest, snapshots_client::SnapshotsClient},
    },
    tonic::transport::Channel,
};
use gantry_oci::document::{Config, Document, Entry};
use gantry_types::Digest;

use super::{
    MESSAGE_BYTES, ReadError, call,
    documents::{Documents, Place},
    nanos, request,
};
use crate::{
    config::Containerd,
    store::{Blob, Contents, Ingest, Namespace, Nanos},
};

/// Blobs, and snapshots, of one namespace.
const ENTRIES: usize = 262_144;
const NAMESPACES: usize = 256;
/// A write that nothing was added to for this long was given up; containerd keeps it for a day.
const STALLED: Duration = Duration::from_secs(60);
/// Begins of unpacking that are remembered.
const BEGINS: usize = 4_096;

const UNCOMPRESSED: &str = "containerd.io/uncompressed";
const REFERS: &str = "containerd.io/gc.ref.content";
const SOURCE: &str = "containerd.io/distribution.source.";
const LAYER_REF: &str = "layer-";

pub(super) struct Reader<'a> {
    channel: Channel,
    config: &'a Containerd,
    documents: Documents,
    /// When unpacking onto a chain began, as events told; by namespace and chain.
    began: HashMap<(String, Digest), Nanos>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(channel: Channel, config: &'a Containerd) -> Self {
        Self { channel, config, documents: Documents::default(), began: HashMap::new() }
    }

    /// What an event said: the snapshot with this key is being made.
    pub(super) fn unpacking(&mut self, namespace: &str, key: &str, at: Nanos) {
        if self.began.len() == BEGINS {
            self.began.clear();
        }
        if let Some(chain) = chain_of_key(key) {
            self.began.insert((namespace.to_owned(), chain), at);
        }
    }

    /// All of the namespaces that count.
    pub(super) async fn read(&mut self, now: Nanos) -> Result<Contents, ReadError> {
        let mut contents = Contents::new();
        let mut present = HashSet::new();
        for name in self.namespaces().await? {
            let namespace = self.namespace(&name, now).await?;
            present.extend(namespace.blobs.keys().copied());
            contents.insert(name, namespace);
        }
        self.documents.retain(&present);
        Ok(contents)
    }

    pub(super) async fn namespaces(&self) -> Result<BTreeSet<String>, ReadError> {
        if !self.config.namespaces.is_empty() {
            return Ok(self.config.namespaces.iter().cloned().collect());
        }
        let mut client = NamespacesClient::new(self.channel.clone());
        let listed =
            client.list(ListNamespacesRequest::default()).await.map_err(call("namespaces cannot be listed"))?;
        Ok(listed.into_inner().namespaces.into_iter().map(|namespace| namespace.name).take(NAMESPACES).collect())
    }

    async fn namespace(&mut self, name: &str, now: Nanos) -> Result<Namespace, ReadError> {
        let mut namespace = Namespace { images: self.images(name).await?, ..Namespace::default() };
        let infos = self.infos(name).await?;
        for info in &infos {
            if let Some((digest, blob)) = blob(info) {
                namespace.blobs.insert(digest, blob);
            }
        }
        namespace.ingests = self.ingests(name, now).await?;
        self.snapshots(name, &mut namespace).await?;
        let refer = infos.iter().filter(|info| info.labels.keys().any(|label| label.starts_with(REFERS)));
        let roots = refer.filter_map(|info| Digest::parse("content", &info.digest).ok());
        let roots: BTreeSet<Digest> = roots.chain(namespace.images.values().copied()).collect();
        self.documents(name, roots, &mut namespace).await?;
        Ok(namespace)
    }

    async fn images(&self, name: &str) -> Result<BTreeMap<String, Digest>, ReadError> {
        let mut client = ImagesClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES);
        let listed = client.list(request(name, ListImagesRequest::default())?).await;
        let images = listed.map_err(call("images cannot be listed"))?.into_inner().images;
        let target = |digest: &str| Digest::parse("image", digest).ok();
        Ok(images.into_iter().filter_map(|image| Some((image.name, target(&image.target?.digest)?))).collect())
    }

    async fn infos(&self, name: &str) -> Result<Vec<Info>, ReadError> {
        let mut client = ContentClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES);
        let listed = client.list(request(name, ListContentRequest::default())?).await;
        let mut parts = listed.map_err(call("content cannot be listed"))?.into_inner();
        let mut infos = Vec::new();
        while let Some(part) = parts.message().await.map_err(call("content cannot be listed"))? {
            infos.extend(part.info);
            if infos.len() > ENTRIES {
                return Err(too_many(name, "blobs"));
            }
        }
        Ok(infos)
    }

    /// What is being written, without what was given up.
    pub(super) async fn ingests(&self, name: &str, now: Nanos) -> Result<Vec<Ingest>, ReadError> {
        let mut client = ContentClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES);
        let listed = client.list_statuses(request(name, ListStatusesRequest::default())?).await;
        let statuses = listed.map_err(call("writes cannot be listed"))?.into_inner().statuses;
        let is_alive = |updated: Nanos| u128::from(now.saturating_sub(updated)) < STALLED.as_nanos();
        let ingest = |status: containerd_client::services::v1::Status| {
            let digest = digest_in(&status.r#ref).or_else(|| Digest::parse("ingest", &status.expected).ok())?;
            let is_layer = status.r#ref.starts_with(LAYER_REF);
            is_alive(nanos(status.updated_at.as_ref())).then(|| Ingest {
                digest,
                fetched_bytes: size(status.offset),
                total_bytes: if is_layer { size(status.total) } else { 0 },
                started: nanos(status.started_at.as_ref()),
            })
        };
        Ok(statuses.into_iter().filter_map(ingest).collect())
    }

    async fn snapshots(&self, name: &str, namespace: &mut Namespace) -> Result<(), ReadError> {
        let mut client = SnapshotsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES);
        let wanted = ListSnapshotsRequest { snapshotter: self.config.snapshotter.clone(), filters: Vec::new() };
        let listed = client.list(request(name, wanted)?).await;
        let mut parts = listed.map_err(call("snapshots cannot be listed"))?.into_inner();
        let mut seen = 0;
        while let Some(part) = parts.message().await.map_err(call("snapshots cannot be listed"))? {
            seen += part.info.len();
            if seen > ENTRIES {
                return Err(too_many(name, "snapshots"));
            }
            for info in part.info {
                let created = nanos(info.created_at.as_ref());
                if info.kind() == Kind::Committed {
                    namespace.chains.extend(Digest::parse("snapshot", &info.name).ok().map(|chain| (chain, created)));
                } else {
                    namespace.unpacking.extend(chain_of_key(&info.name).map(|chain| (chain, created)));
                }
            }
        }
        let told = self.began.iter().filter(|((of, _), _)| of == name).map(|((_, chain), began)| (*chain, *began));
        let known = told.filter(|(chain, _)| namespace.chains.contains_key(chain));
        namespace.unpacking.extend(known.collect::<Vec<_>>());
        Ok(())
    }

    /// Follows what images, and the labels that keep content from garbage collection, lead to.
    async fn documents(
        &mut self,
        name: &str,
        mut waiting: BTreeSet<Digest>,
        namespace: &mut Namespace,
    ) -> Result<(), ReadError> {
        let mut named: HashSet<Digest> = HashSet::new();
        while let Some(digest) = waiting.pop_first() {
            if !named.insert(digest) {
                continue;
            }
            match self.document(name, digest, namespace).await? {
                Some(Document::Index(entries)) => {
                    let images = entries.into_iter().filter(|entry| !entry.is_attestation());
                    let images: Vec<(Digest, String)> = images.map(|entry| (entry.digest, platform(&entry))).collect();
                    waiting.extend(images.iter().map(|(manifest, _)| *manifest));
                    namespace.indexes.insert(digest, images);
                }
                Some(Document::Manifest(manifest)) => {
                    let config = match self.document(name, manifest.config, namespace).await? {
                        Some(Document::Config(config)) => Some(config),
                        _ => None,
                    };
                    named.insert(manifest.config);
                    named.extend(manifest.layers.iter().map(|layer| layer.digest));
                    if !config.as_ref().is_some_and(Config::is_attestation) {
                        let complete = self.documents.complete(digest, &manifest, config.as_ref());
                        namespace.manifests.insert(digest, complete);
                    }
                }
                Some(Document::Config(_)) | None => {}
            }
        }
        self.unnamed(name, &named, namespace).await
    }

    async fn document(
        &mut self,
        name: &str,
        digest: Digest,
        namespace: &Namespace,
    ) -> Result<Option<Document>, ReadError> {
        let Some(blob) = namespace.blobs.get(&digest) else { return Ok(None) };
        let place = Place { channel: &self.channel, namespace: name, digest, size_bytes: blob.size_bytes };
        Ok(self.documents.get(place).await?.cloned())
    }

    /// Layers that nothing names: somebody put them there ahead, or their manifest is still to come.
    async fn unnamed(
        &mut self,
        name: &str,
        named: &HashSet<Digest>,
        namespace: &mut Namespace,
    ) -> Result<(), ReadError> {
        for (digest, blob) in &mut namespace.blobs {
            if blob.diff_id.is_none() && !named.contains(digest) {
                let size_bytes = blob.size_bytes;
                let place = Place { channel: &self.channel, namespace: name, digest: *digest, size_bytes };
                blob.is_layer = self.documents.begins_as_layer(place).await?;
            }
        }
        Ok(())
    }
}

fn too_many(namespace: &str, what: &'static str) -> ReadError {
    ReadError::TooMany { namespace: namespace.to_owned(), what, limit: ENTRIES }
}

/// Empty where the index does not say.
fn platform(entry: &Entry) -> String {
    entry.platform.as_ref().map_or_else(String::new, ToString::to_string)
}

fn blob(info: &Info) -> Option<(Digest, Blob)> {
    let diff_id = info.labels.get(UNCOMPRESSED).and_then(|diff_id| Digest::parse("label", diff_id).ok());
    let blob = Blob {
        size_bytes: size(info.size),
        created: nanos(info.created_at.as_ref()),
        diff_id,
        is_layer: false,
        is_pulled: info.labels.keys().any(|label| label.starts_with(SOURCE)),
    };
    Some((Digest::parse("content", &info.digest).ok()?, blob))
}

fn size(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

/// The chain that a client unpacks onto under a key as `extract-120217098-lSKY sha256:1663...`.
fn chain_of_key(key: &str) -> Option<Digest> {
    let (begin, chain) = key.split_once(' ')?;
    begin.starts_with("extract-").then(|| Digest::parse("key", chain).ok()).flatten()
}

/// The digest in a name as `layer-sha256:1663...`.
fn digest_in(reference: &str) -> Option<Digest> {
    let at = reference.find("sha256:")?;
    Digest::parse("ref", reference.get(at..at + "sha256:".len() + 64)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_in_the_names_that_clients_give() {
        let text = format!("sha256:{}", "0a".repeat(32));
        let digest = Digest::parse("test", &text).unwrap();
        assert_eq!(digest_in(&format!("layer-{text}")), Some(digest));
        assert_eq!(digest_in(&format!("default/1/layer-{text}")), Some(digest));
        assert_eq!(digest_in(&text[..70]), None);
        assert_eq!(digest_in("upload-7"), None);
        assert_eq!(chain_of_key(&format!("extract-120217098-lSKY {text}")), Some(digest));
        assert_eq!(chain_of_key(&format!("container {text}")), None);
        assert_eq!(chain_of_key("my-container"), None);
    }
}
