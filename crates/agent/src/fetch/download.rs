//! One blob, from its registry into containerd's store: what breaks is gone on with where it stands.

use std::time::Duration;

use containerd_client::tonic::Code;
use gantry_oci::Blob;
use gantry_types::Digest;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::{
    error::FetchError,
    patience::Patience,
    store::{Labels, code},
    work::Work,
    write::{Opened, Target, Write},
};

/// How often it is looked at what another client writes.
const LOOK: Duration = Duration::from_millis(500);
/// Another client that writes nothing for so long is not waited for.
const HELD_LIMIT: Duration = Duration::from_secs(60);

/// What is handed to containerd in one call: with less, calls take longer than the bytes in them.
const PART_BYTES: usize = 512 << 10;
/// What comes slowly is handed on after this.
const MOMENT: Duration = Duration::from_millis(200);

/// Where the bytes come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Registry,
    /// From a document that was read and checked.
    Here(&'a [u8]),
}

/// The digest of what has come so far.
struct Check {
    hash: Sha256,
    bytes: u64,
}

/// What came, and whether more may come: what broke off is written as far as it came.
struct Gathered {
    part: Vec<u8>,
    then: Result<bool, FetchError>,
}

/// How far a try came.
enum Tried {
    Done,
    /// Somebody else is at it.
    Locked,
}

impl Work {
    /// Brings a blob into the store. It has its name only when its digest is right.
    pub(super) async fn bring(&self, target: &Target, labels: &Labels, source: Source<'_>) -> Result<(), FetchError> {
        let mut patience = Patience::new(self.resolver.places(&self.order.reference));
        let (mut check, mut held) = (Check { hash: Sha256::new(), bytes: 0 }, None);
        loop {
            let tried = match self.try_once(target, labels, source, &mut check, patience.place).await {
                Ok(Tried::Locked) => self.wait_for(target, &mut held).await,
                tried => tried.map(|_| true),
            };
            let error = match tried {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(error) => error,
            };
            let Some(pause) = patience.after(&error, check.bytes) else { return Err(error) };
            tracing::debug!(%error, blob = target.reference, pause_ms = pause.as_millis() as u64, "tried again");
            sleep(pause).await;
        }
    }

    async fn try_once(
        &self,
        target: &Target,
        labels: &Labels,
        source: Source<'_>,
        check: &mut Check,
        place: usize,
    ) -> Result<Tried, FetchError> {
        let mut write = match Write::open(&self.store, target).await? {
            Opened::There => {
                self.store.label(&target.digest, labels.clone()).await?;
                self.progress.is_there(&target.digest);
                return Ok(Tried::Done);
            }
            Opened::Locked => return Ok(Tried::Locked),
            Opened::Write(write) => write,
        };
        self.progress.present(&target.digest, write.offset);
        if write.offset < target.size_bytes {
            match source {
                Source::Registry => self.stream(target, &mut write, check, place).await?,
                Source::Here(bytes) => {
                    let at = usize::try_from(write.offset).unwrap_or(usize::MAX).min(bytes.len());
                    write.put(bytes[at..].to_vec()).await?;
                }
            }
        }
        let is_checked = matches!(source, Source::Registry) && check.bytes == target.size_bytes;
        let found = Digest(check.hash.clone().finalize().into());
        if is_checked && found != target.digest {
            drop(write);
            self.take_back(target, check).await;
            return Err(FetchError::WrongBytes { wanted: target.digest, found });
        }
        match write.commit(labels.clone()).await {
            // Of what lay there before nobody knew the digest until now.
            Err(error) if code(&error) == Some(Code::FailedPrecondition) => {
                self.take_back(target, check).await;
                let status = containerd_client::tonic::Status::aborted(error.to_string());
                Err(FetchError::Containerd { what: "a blob was not what its name says", status: Box::new(status) })
            }
            Ok(()) => {
                self.progress.is_there(&target.digest);
                Ok(Tried::Done)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes what the registry sends, from where the write stands to the blob's end.
    async fn stream(
        &self,
        target: &Target,
        write: &mut Write,
        check: &mut Check,
        place: usize,
    ) -> Result<(), FetchError> {
        let Target { digest, size_bytes, .. } = *target;
        if write.offset == 0 {
            *check = Check { hash: Sha256::new(), bytes: 0 };
        }
        let mut blob = self.resolver.blob(&self.order.reference, digest, write.offset, place).await?;
        let mut gathered = self.gather(&mut blob).await;
        loop {
            let Gathered { part, then } = gathered;
            let (at, bytes) = (write.offset, part.len() as u64);
            if at + bytes > size_bytes {
                return Err(FetchError::Long { digest, wanted: size_bytes });
            }
            // Where others have begun, containerd alone knows all bytes: it checks them at the end.
            if check.bytes == at {
                check.hash.update(&part);
                check.bytes += bytes;
            }
            let is_going_on = matches!(then, Ok(true));
            let next = async { if is_going_on { Some(self.gather(&mut blob).await) } else { None } };
            // The next part comes while this one is written.
            let (put, next) = tokio::join!(write.put(part), next);
            put?;
            self.progress.present(&digest, write.offset);
            then?;
            let Some(next) = next else { break };
            gathered = next;
        }
        if write.offset < size_bytes {
            return Err(FetchError::Short { digest, sent: write.offset, wanted: size_bytes });
        }
        Ok(())
    }

    /// As much as is worth a call, or as comes in a moment.
    async fn gather(&self, blob: &mut Blob) -> Gathered {
        let (mut part, begun) = (Vec::new(), Instant::now());
        loop {
            let chunk = match blob.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Gathered { part, then: Ok(false) },
                Err(error) => return Gathered { part, then: Err(error.into()) },
            };
            let bytes = chunk.len() as u64;
            part.extend_from_slice(&chunk);
            self.metrics.fetched_ahead(bytes);
            self.limits.pass(bytes).await;
            if part.len() >= PART_BYTES || begun.elapsed() > MOMENT {
                return Gathered { part, then: Ok(true) };
            }
        }
    }

    /// What is wrong must not be gone on with.
    async fn take_back(&self, target: &Target, check: &mut Check) {
        *check = Check { hash: Sha256::new(), bytes: 0 };
        self.progress.present(&target.digest, 0);
        if let Err(error) = self.store.abort(&target.reference).await {
            tracing::debug!(%error, blob = target.reference, "what was written is not taken back");
        }
    }

    /// Waits a moment for another client that writes the blob. It may give it up at any time, so that is never the end of it.
    async fn wait_for(&self, target: &Target, held: &mut Option<(u64, Instant)>) -> Result<bool, FetchError> {
        sleep(LOOK).await;
        let written = self.store.written(&target.reference).await?.unwrap_or(0);
        self.progress.present(&target.digest, written);
        match *held {
            Some((last, since)) if last == written => {
                if since.elapsed() > HELD_LIMIT {
                    return Err(FetchError::Held { reference: target.reference.clone(), limit: HELD_LIMIT });
                }
            }
            _ => *held = Some((written, Instant::now())),
        }
        Ok(false)
    }
}
