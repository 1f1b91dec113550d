//! A Docker Engine, as a source of layers beside containerd: its images are read as a whole, and again when its events say
//! that something changed.
//!
//! - `engine`, `answer`: its API over HTTP on a socket, with every bound; what of its answers counts
//! - `digests`: the blobs that its layers came from, which the API does not tell
//! - `seen`: what follows for the cluster; no I/O
//! - `watch`: when it is read
//!
//! Its own store knows layers by their content. Where the blob is not known either, a layer is told as what it is: the plain
//! tar archive of its content has that digest, and the cluster takes layers of one content for the same.

mod answer;
mod digests;
mod engine;
mod seen;
mod watch;

pub(crate) use self::{
    seen::{Seen, merged},
    watch::{Telling, watch},
};

/// Why an engine's images are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    #[error("{socket} cannot be connected to: {source}; docker.socket must name the engine's socket")]
    Connect { socket: String, source: std::io::Error },
    #[error("{path}: {why}")]
    Http { path: String, why: String },
    #[error("{path} is answered with {status}: {said}")]
    Status { path: String, status: u16, said: String },
    #[error("{path} is not answered within {limit_s} s")]
    Slow { path: String, limit_s: u64 },
    #[error("{path} is answered with more than {limit} bytes")]
    TooLarge { path: String, limit: usize },
    #[error("{path} is answered with what is no JSON of the engine's API: {why}")]
    Nonsense { path: String, why: String },
    #[error("it has more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("its directory cannot be read: {0}")]
    Directory(String),
    #[error(
        "it keeps its images in containerd: take [docker] out of the config, and have the namespace \"moby\" and the snapshotter \
         {snapshotter:?} in [containerd]"
    )]
    InContainerd { snapshotter: String },
    #[error("its events have ended")]
    Ended,
}
