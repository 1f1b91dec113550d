//! Why layers were not fetched.

use std::{path::PathBuf, time::Duration};

use containerd_client::tonic::{Code, Status};
use gantry_oci::ResolveError;
use gantry_types::Digest;

/// Each says what failed, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the request cannot be followed: {0}")]
    Order(String),
    #[error(transparent)]
    Registry(#[from] ResolveError),
    #[error("{reference} does not stand for {wanted} any more, but for {found}: look the image up again")]
    Moved { reference: String, wanted: Digest, found: Digest },
    #[error("the registry sent {found} for {wanted}: push the image again, or take the mirror out that has it wrong")]
    WrongBytes { wanted: Digest, found: Digest },
    #[error("the registry sent {sent} of the {wanted} bytes of {digest}")]
    Short { digest: Digest, sent: u64, wanted: u64 },
    #[error("the registry sends more than the {wanted} bytes that {digest} has by its manifest: push the image again")]
    Long { digest: Digest, wanted: u64 },
    #[error("the layer {layer} holds {found}, where its config says {wanted}: build the image again")]
    WrongContent { layer: Digest, wanted: Digest, found: String },
    #[error("the layer {0} is packed in a way that is not known here: ask for it without unpacking it")]
    Packing(Digest),
    #[error(
        "{} has {free} bytes free, and {wanted} are needed beside the {reserve} that are kept: remove images, or lower \
         fetch.reserve_bytes", root.display()
    )]
    Room { root: PathBuf, free: u64, wanted: u64, reserve: u64 },
    #[error("the room in {} cannot be found out: {source}; containerd.root must name containerd's directory", root.display())]
    NoRoot { root: PathBuf, source: std::io::Error },
    #[error("containerd at {socket} cannot be connected to: {why}")]
    Connect { socket: String, why: String },
    #[error("containerd: {what}: {} ({:?})", status.message(), status.code())]
    Containerd { what: &'static str, status: Box<Status> },
    #[error("containerd: {what}: no answer within {} s", limit.as_secs())]
    Slow { what: &'static str, limit: Duration },
    #[error("another client of containerd holds {reference} and has written nothing for {} s", limit.as_secs())]
    Held { reference: String, limit: Duration },
    #[error("it took longer than {} h", limit.as_secs() / 3_600)]
    TooLong { limit: Duration },
    #[error("the agent failed at it, which its log tells more of")]
    Bug,
}

impl FetchError {
    /// Whether trying again may help, and which pause is asked for.
    pub(super) fn again_after(&self) -> Option<Duration> {
        match self {
            Self::Registry(ResolveError::Busy { pause, .. }) => Some(*pause),
            Self::Registry(error) => error.is_temporary().then_some(Duration::ZERO),
            Self::Short { .. } | Self::Slow { .. } | Self::Connect { .. } => Some(Duration::ZERO),
            Self::Containerd { status, .. } => is_temporary(status).then_some(Duration::ZERO),
            Self::Order(_)
            | Self::Moved { .. }
            | Self::WrongBytes { .. }
            | Self::Long { .. }
            | Self::WrongContent { .. }
            | Self::Packing(_)
            | Self::Room { .. }
            | Self::NoRoot { .. }
            | Self::Held { .. }
            | Self::TooLong { .. }
            | Self::Bug => None,
        }
    }

    /// Whether another place may have it right.
    pub(super) fn is_of_one_place(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::WrongBytes { .. } | Self::Short { .. } | Self::Long { .. })
    }
}

/// A containerd that is being restarted breaks its connections, and then cannot be connected to.
fn is_temporary(status: &Status) -> bool {
    let is_broken =
        matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::Aborted);
    is_broken && !status.message().contains("no space left")
}
