//! A blob on its way from a registry.

use bytes::{Buf, Bytes};

use crate::{error::ResolveError, exchange::Body};

/// Comes part by part; nobody has checked what comes against its digest.
#[derive(Debug)]
pub struct Blob {
    body: Body,
    /// Bytes that come and were not asked for.
    too_much: u64,
}

impl Blob {
    pub(crate) fn new(body: Body, too_much: u64) -> Self {
        Self { body, too_much }
    }

    /// The next bytes, never none; nothing at the end, which may come before the blob is whole.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ResolveError> {
        while let Some(mut chunk) = self.body.chunk().await? {
            let skipped = usize::try_from(self.too_much).unwrap_or(usize::MAX).min(chunk.len());
            self.too_much -= skipped as u64;
            chunk.advance(skipped);
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}
