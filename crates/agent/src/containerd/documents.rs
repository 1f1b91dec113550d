//! The documents of a store, read once each: what a digest names never changes.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use containerd_client::{
    services::v1::{ReadContentRequest, content_client::ContentClient},
    tonic::{Code, transport::Channel},
};
use gantry_oci::document::{self, Document};
use gantry_types::Digest;

use super::{ReadError, call, request};
use crate::store::{Content, Layer, Manifest};

/// Larger ones are not read: a store may hold any number of blobs that only look like documents. A manifest of as many layers
/// as count is a fifth of it.
const DOCUMENT_BYTES: u64 = 1 << 20;
/// Bytes that tell a layer: a tar archive has its mark this far in.
const HEAD_BYTES: u64 = 512;
const TAR_MARK_AT: usize = 257;
/// Heads looked at in one read of the store; the rest waits for the next one.
const HEADS_AT_ONCE: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Documents {
    /// None for what is no document that counts.
    parsed: HashMap<Digest, Option<Document>>,
    /// Manifests whose config was there.
    complete: HashMap<Digest, Arc<Manifest>>,
    /// Whether a blob that no document names is a layer.
    heads: HashMap<Digest, bool>,
    heads_read: usize,
}

/// A blob to be read: where, which, and how large it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub channel: &'a Channel,
    pub namespace: &'a str,
    pub digest: Digest,
    pub size_bytes: u64,
}

impl Documents {
    /// The document that a blob is; nothing where it is none.
    pub(super) async fn get(&mut self, place: Place<'_>) -> Result<Option<&Document>, ReadError> {
        let parsed = match self.parsed.entry(place.digest) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(if place.size_bytes > DOCUMENT_BYTES { None } else { parse(place).await? })
            }
        };
        Ok(parsed.as_ref())
    }

    /// A manifest with what its config says. `config` is absent while it is not in the store.
    pub(super) fn complete(
        &mut self,
        digest: Digest,
        manifest: &document::Manifest,
        config: Option<&document::Config>,
    ) -> Arc<Manifest> {
        if let Some(complete) = self.complete.get(&digest) {
            return Arc::clone(complete);
        }
        // A config of another image says nothing of these layers.
        let config = config.filter(|config| config.diff_ids.len() == manifest.layers.len());
        let chains = config.map_or_else(Vec::new, |config| document::chains(&config.diff_ids));
        let content = |at: usize| Some(Content { diff_id: *config?.diff_ids.get(at)?, chain: *chains.get(at)? });
        let layers = manifest.layers.iter().enumerate().map(|(at, layer)| Layer {
            digest: layer.digest,
            size_bytes: layer.size_bytes,
            content: content(at),
        });
        let platform = config.and_then(|config| config.platform.as_ref()).map_or_else(String::new, ToString::to_string);
        let complete = Arc::new(Manifest { platform, layers: layers.collect() });
        if config.is_some() {
            self.complete.insert(digest, Arc::clone(&complete));
        }
        complete
    }

    /// Whether a blob that no document names begins as layers do.
    pub(super) async fn begins_as_layer(&mut self, place: Place<'_>) -> Result<bool, ReadError> {
        if let Some(&known) = self.heads.get(&place.digest) {
            return Ok(known);
        }
        if self.heads_read == HEADS_AT_ONCE {
            return Ok(false);
        }
        self.heads_read += 1;
        let is_layer = read(place, HEAD_BYTES).await?.is_some_and(|head| is_head_of_layer(&head));
        self.heads.insert(place.digest, is_layer);
        Ok(is_layer)
    }

    /// Forgets what is no longer in any namespace.
    pub(super) fn retain(&mut self, present: &HashSet<Digest>) {
        self.parsed.retain(|digest, _| present.contains(digest));
        self.complete.retain(|digest, _| present.contains(digest));
        self.heads.retain(|digest, _| present.contains(digest));
        self.heads_read = 0;
    }
}

async fn parse(place: Place<'_>) -> Result<Option<Document>, ReadError> {
    let Some(bytes) = read(place, place.size_bytes).await? else { return Ok(None) };
    let document = Document::parse(&bytes);
    if let Err(why) = &document {
        tracing::debug!(digest = %place.digest, namespace = place.namespace, %why, "not a document of an image");
    }
    Ok(document.ok())
}

/// The first bytes of a blob; nothing where it was deleted meanwhile.
async fn read(place: Place<'_>, size_bytes: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let mut bytes = Vec::new();
    // A size of 0 would ask for everything.
    let size = i64::try_from(size_bytes.min(place.size_bytes)).unwrap_or(i64::MAX);
    if size == 0 {
        return Ok(Some(bytes));
    }
    let wanted = ReadContentRequest { digest: place.digest.to_string(), offset: 0, size };
    let mut client = ContentClient::new(place.channel.clone());
    let mut parts = match client.read(request(place.namespace, wanted)?).await {
        Ok(response) => response.into_inner(),
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => return Err(call("a blob cannot be read")(status)),
    };
    loop {
        match parts.message().await {
            Ok(Some(part)) => bytes.extend_from_slice(&part.data),
            Ok(None) => break,
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(call("a blob cannot be read")(status)),
        }
        if bytes.len() as u64 >= size_bytes {
            break;
        }
    }
    Ok(Some(bytes))
}

/// gzip, zstd, or a plain tar archive.
fn is_head_of_layer(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
        || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || head.get(TAR_MARK_AT..).is_some_and(|rest| rest.starts_with(b"ustar"))
}
