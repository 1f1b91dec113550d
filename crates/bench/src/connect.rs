//! Connections to one node each.

use std::time::Duration;

use anyhow::{Context, Result};
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Windows of a connection and of a stream: far above what a burst keeps in flight.
const WINDOW_BYTES: u32 = 4 << 20;

/// A connection to `addr`, made at its first use.
pub fn lazily(addr: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).with_context(|| format!("{addr} is no address"))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .connect_lazy())
}
