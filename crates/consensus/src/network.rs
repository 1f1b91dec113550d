//! Raft messages between members, over gRPC.

mod append;
mod check;
mod client;
mod heartbeat;
mod link;
mod peers;
mod server;
mod snapshot;

use std::time::Duration;

pub use self::link::{Answering, Carrier, Link, PeerAnswer, PeerCall, Tcp, Transport};
pub(crate) use self::{
    check::CheckClient,
    client::Network,
    peers::{NotMet, Peers},
    server::{routes, serve},
};

/// Largest message taken: entries are read in parts of two megabytes, and one entry is at most one.
const MESSAGE_BYTES: usize = 16 << 20;
/// HTTP/2 windows: several full messages may be under way before a follower answers.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Bounds what one peer can open at once; it needs a handful.
const STREAMS_PER_CONNECTION: u32 = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection whose peer does not even answer pings is given up.
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a follower may owe an answer before the stream is given up: far above a slow fsync, far below what an
/// operator would notice.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
