//! containerd, as a source of layers: its store is read as a whole, and looked at again when its events, or what is being
//! written, say that something changes. So no event that was missed makes the index wrong for long.

mod documents;
mod reader;
mod watch;

use containerd_client::tonic::{Request, metadata::MetadataValue};
use prost_types::Timestamp;

use crate::store::Nanos;

pub(crate) use watch::{Telling, watch};

/// containerd's own limit on a message is 16 MiB.
const MESSAGE_BYTES: usize = 16 << 20;
const NANOS_PER_S: i64 = 1_000_000_000;

/// Why a store cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{socket} cannot be connected to: {source}")]
    Connect { socket: String, source: containerd_client::tonic::transport::Error },
    #[error("{what}: {status}")]
    Call { what: &'static str, status: Box<containerd_client::tonic::Status> },
    #[error("{what} took longer than {limit_s} s")]
    Slow { what: &'static str, limit_s: u64 },
    #[error("namespace {namespace} has more than {limit} {what}")]
    TooMany { namespace: String, what: &'static str, limit: usize },
    #[error("namespace {0:?} is not a name that containerd takes")]
    Namespace(String),
    #[error("its events have ended")]
    Ended,
}

fn call(what: &'static str) -> impl FnOnce(containerd_client::tonic::Status) -> ReadError {
    move |status| ReadError::Call { what, status: Box::new(status) }
}

/// A message about one namespace.
fn request<T>(namespace: &str, message: T) -> Result<Request<T>, ReadError> {
    let value = MetadataValue::try_from(namespace).map_err(|_| ReadError::Namespace(namespace.to_owned()))?;
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", value);
    Ok(request)
}

/// 0 for what was never set, or before 1970.
fn nanos(time: Option<&Timestamp>) -> Nanos {
    let nanos = time.and_then(|time| time.seconds.checked_mul(NANOS_PER_S)?.checked_add(time.nanos.into()));
    nanos.and_then(|nanos| Nanos::try_from(nanos).ok()).unwrap_or(0)
}
