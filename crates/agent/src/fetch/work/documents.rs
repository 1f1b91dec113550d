//! Manifests and the like: where they come from, what keeps them, and which name leads to them.

use containerd_client::types::Descriptor;
use gantry_oci::document::{self, Document, Entry, digest_of};
use gantry_types::Digest;

use super::{Held, Labels, Order, Plan, Source, Target, Work};
use crate::{fetch::error::FetchError, view::platform};

/// Of a document; registries are held to the same.
const DOCUMENT_BYTES: usize = 8 << 20;
const REFERS: &str = "containerd.io/gc.ref.content.";
const REFERS_TO_SNAPSHOT: &str = "containerd.io/gc.ref.snapshot.";

/// What an image's name is to stand for.
pub(super) struct Named {
    digest: Digest,
    bytes: Vec<u8>,
    /// Of an index, what it refers to.
    entries: Vec<Entry>,
}

impl Work {
    /// A document from the store, or else from the registry.
    pub(super) async fn document(&self, digest: Digest, is_manifest: bool) -> Result<Vec<u8>, FetchError> {
        self.hold(Held::Content(digest)).await?;
        let stored = self.store.read(&digest, DOCUMENT_BYTES).await?;
        if let Some(stored) = stored.filter(|stored| digest_of(stored) == digest) {
            return Ok(stored);
        }
        let reference = &self.order.reference;
        let bytes = match is_manifest {
            true => self.resolver.manifest(reference, digest).await?,
            false => self.resolver.image_config(reference, digest).await?,
        };
        Ok(bytes.into())
    }

    /// What the reference stands for here, or else at its registry: the manifest that was asked for, or an index that has it.
    pub(super) async fn named(&self, manifest: &[u8]) -> Result<Named, FetchError> {
        let Order { reference, digest, .. } = &*self.order;
        if let Some(known) = self.store.named(&reference.to_string()).await?
            && let Some(named) = self.leads_here(known, manifest).await?
        {
            return Ok(named);
        }
        let top = self.resolver.digest_of(reference).await?;
        if let Some(named) = self.leads_here(top, manifest).await? {
            return Ok(named);
        }
        // An index within an index.
        let wanted = gantry_oci::Platform::parse("platform", &platform()).unwrap_or_default();
        let found = self.resolver.resolve(reference, &wanted).await?;
        if found.digest == *digest {
            return Ok(Named { digest: *digest, bytes: manifest.to_vec(), entries: Vec::new() });
        }
        Err(FetchError::Moved { reference: reference.to_string(), wanted: *digest, found: found.digest })
    }

    async fn leads_here(&self, top: Digest, manifest: &[u8]) -> Result<Option<Named>, FetchError> {
        if top == self.order.digest {
            return Ok(Some(Named { digest: top, bytes: manifest.to_vec(), entries: Vec::new() }));
        }
        let bytes = self.document(top, true).await?;
        let Ok(Document::Index(entries)) = Document::parse(&bytes) else { return Ok(None) };
        let has_it = entries.iter().any(|entry| entry.digest == self.order.digest);
        Ok(has_it.then_some(Named { digest: top, bytes, entries }))
    }

    /// With labels that lead garbage collection from each to what it names.
    pub(super) async fn write_documents(
        &self,
        plan: &Plan,
        manifest: &[u8],
        config: &[u8],
        named: Option<&Named>,
    ) -> Result<(), FetchError> {
        let write = async |kind: &str, digest: Digest, bytes: &[u8], labels: Labels| {
            let target = Target::of(kind, digest, bytes.len() as u64);
            self.bring(&target, &labels, Source::Here(bytes)).await
        };
        let refers = |key: String, digest: &Digest| (format!("{REFERS}{key}"), digest.to_string());
        write("config", plan.config, config, self.source()).await?;
        let mut labels = self.source();
        labels.extend(plan.all.iter().enumerate().map(|(at, layer)| refers(format!("l.{at}"), layer)));
        labels.extend([refers("config".to_owned(), &plan.config)]);
        write("manifest", self.order.digest, manifest, labels).await?;
        if let Some(Named { digest, bytes, entries }) = named.filter(|named| named.digest != self.order.digest) {
            let mut labels = self.source();
            labels.extend(entries.iter().enumerate().map(|(at, entry)| refers(format!("m.{at}"), &entry.digest)));
            write("index", *digest, bytes, labels).await?;
        }
        Ok(())
    }

    /// Gives a whole image its name.
    pub(super) async fn finish(&self, plan: &Plan, named: &Named) -> Result<(), FetchError> {
        if let Some(top) = plan.top().filter(|_| self.order.unpack) {
            let label = format!("{REFERS_TO_SNAPSHOT}{}", self.store.snapshotter);
            self.store.label(&plan.config, Labels::from([(label, top.to_string())])).await?;
        }
        let media_type = document::media_type(&named.bytes).unwrap_or_default().to_owned();
        let size = i64::try_from(named.bytes.len()).unwrap_or(i64::MAX);
        let target = Descriptor { media_type, digest: named.digest.to_string(), size, ..Descriptor::default() };
        self.store.name(&self.order.reference.to_string(), target).await
    }
}
