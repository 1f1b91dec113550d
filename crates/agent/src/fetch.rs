//! Fetches layers before a machine needs them, as the cluster asks for it: from their registry into containerd's store, and
//! unpacked there if that is wanted.
//!
//! - `order`, `plan`, `queue`, `progress`, `bucket`, `patience`: what is asked for, what follows from it, and how far it is; no I/O
//! - `service`: starts what may start, and says how far it is
//! - `run`, `work`: one fetch, from its first lease to its last
//! - `store`, `write`, `snapshot`, `lease`, `record`: what containerd is told
//! - `download`: one blob, through broken connections and restarts
//!
//! What is fetched is held by a lease of containerd's while the fetch is under way, and by another one for as long as the
//! cluster wants it kept. So a fetch that fails, and an agent that dies, leave nothing behind that garbage collection would
//! not take.
//!
//! A fetch outlives the connection that it was asked for on by [`ALONE`]: leaders change, and half a layer is worth something.
//! What only waits is forgotten with the connection, and asked for again by whoever leads then.

mod bucket;
mod download;
mod error;
mod lease;
mod order;
mod patience;
mod plan;
mod progress;
mod queue;
mod record;
mod room;
mod run;
mod service;
mod snapshot;
mod store;
mod throttled;
mod work;
mod write;

use std::time::Duration;

use gantry_client::v1;

pub(crate) use self::{
    service::{Fetches, start},
    throttled::Throttled,
};

/// How long fetches go on while nobody is connected who could want them.
const ALONE: Duration = Duration::from_secs(10 * 60);
/// Fetches that wait for others; more are refused.
const WAITING: usize = 64;
/// Layers of one fetch that are on their way at a time, as many as containerd's own pulls have.
const STREAMS: usize = 3;
/// How long one fetch may take.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// For the cluster: how far a fetch is that was asked for on a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub connection: u64,
    pub progress: v1::FetchProgress,
}
