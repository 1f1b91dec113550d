//! One node of the cluster and the connection to it.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// HTTP/2 window of one stream: a burst of placements and their answers fits.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// HTTP/2 window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A peer that went silent is noticed after this and [`KEEP_ALIVE_TIMEOUT`].
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Generous, for a busy peer answers pings late; one call or stream gives up on a silent node earlier.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests that may wait in one connection's queue.
const QUEUE: usize = 4_096;
/// A status with all its details fits with room to spare.
const HEADER_BYTES: u32 = 64 << 10;
/// A node that could not be reached is not taken for the leader on another node's word for this long.
const AVOID: Duration = Duration::from_secs(1);

pub(crate) struct Node {
    /// `host:port`, or the URI as the caller gave it.
    pub(crate) address: String,
    endpoint: Endpoint,
    /// Made at the first call, because that needs a runtime and making a client does not.
    channel: OnceLock<Channel>,
    avoid_until: Mutex<Option<Instant>>,
}

impl Node {
    /// For `host:port` or `http://host:port`.
    pub(crate) fn new(address: &str) -> Result<Self, Error> {
        let refused = |why: &str| {
            let message = format!("{address:?} is no address of a node: {why}; use host:port or http://host:port");
            Error::local(Code::InvalidArgument, "INVALID_ARGUMENT", message)
        };
        let address = address.trim();
        if address.starts_with("https://") {
            return Err(refused("TLS is not supported"));
        }
        let uri = if address.starts_with("http://") { address.to_owned() } else { format!("http://{address}") };
        let endpoint = Endpoint::from_shared(uri).map_err(|error| refused(&error.to_string()))?;
        if endpoint.uri().port_u16().is_none_or(|port| port == 0) {
            return Err(refused("it has no port"));
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .http2_max_header_list_size(HEADER_BYTES)
            .buffer_size(QUEUE);
        let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Self { address, endpoint, channel: OnceLock::new(), avoid_until: Mutex::new(None) })
    }

    /// The connection, which is made when it is first used and made again when it breaks.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone()
    }

    pub(crate) fn avoid(&self) {
        *self.avoid_until.lock() = Some(Instant::now() + AVOID);
    }

    pub(crate) fn is_avoided(&self) -> bool {
        self.avoid_until.lock().is_some_and(|until| Instant::now() < until)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for (given, address) in [
            ("127.0.0.1:7400", "127.0.0.1:7400"),
            (" http://node-1:7400/ ", "node-1:7400"),
            ("[::1]:7400", "[::1]:7400"),
        ] {
            assert_eq!(Node::new(given).unwrap().address, address);
        }
        for bad in ["", "127.0.0.1", "https://a:1", "a b:1", "a:x", "a:0"] {
            assert!(Node::new(bad).is_err(), "{bad:?} was taken for an address");
        }
    }
}
