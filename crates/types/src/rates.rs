//! How fast a host fetches and unpacks layers.

use prost::Message;

use crate::{Refused, error::size, limits};

/// Layers that a host fetches at a time: the default of containerd is three a pull, and pulls run beside each other.
pub const STREAMS: u32 = 4;
/// What took less time, or has fewer bytes, says more of delays than of rates.
const TOO_SHORT_MS: u64 = 20;
const TOO_SMALL_BYTES: u64 = 1 << 20;

/// Compressed bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRates {
    /// One layer by itself: a layer is one flow.
    pub stream_bytes_per_s: u64,
    /// All flows together.
    pub link_bytes_per_s: u64,
    /// Unpacking, one layer after the other.
    pub unpack_bytes_per_s: u64,
}

impl HostRates {
    /// What others have published, for hosts that nothing was measured on: one flow at 74 MB/s, four together at 247 MB/s
    /// (prism-science/sampleworks PR 342), and a layer of 2.65 GB of `nvidia/cuda` 12.4.1 unpacked in 36.4 s.
    pub const PUBLISHED: Self =
        Self { stream_bytes_per_s: 74_000_000, link_bytes_per_s: 247_000_000, unpack_bytes_per_s: 73_000_000 };
}

/// How long a pull took, as an agent measured it. What was not measured is 0.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct PullObservation {
    /// Compressed, of all layers that were fetched.
    #[prost(uint64, tag = "1")]
    pub fetched_bytes: u64,
    /// From the first byte to the last.
    #[prost(uint64, tag = "2")]
    pub fetch_ms: u64,
    /// Layers that the host fetched at a time meanwhile; 0 is taken as 1.
    #[prost(uint32, tag = "3")]
    pub streams: u32,
    /// Compressed, of all layers that were unpacked.
    #[prost(uint64, tag = "4")]
    pub unpacked_bytes: u64,
    /// Spent unpacking, without waiting for layers.
    #[prost(uint64, tag = "5")]
    pub unpack_ms: u64,
}

impl PullObservation {
    /// All flows together; nothing where it was too little to tell.
    pub fn fetched_bytes_per_s(&self) -> Option<u64> {
        bytes_per_s(self.fetched_bytes, self.fetch_ms)
    }

    /// Nothing where it was too little to tell.
    pub fn unpacked_bytes_per_s(&self) -> Option<u64> {
        bytes_per_s(self.unpacked_bytes, self.unpack_ms)
    }

    pub fn validate(&self) -> Result<(), Refused> {
        for (field, bytes, ms_field, ms) in [
            ("pulled.fetched_bytes", self.fetched_bytes, "pulled.fetch_ms", self.fetch_ms),
            ("pulled.unpacked_bytes", self.unpacked_bytes, "pulled.unpack_ms", self.unpack_ms),
        ] {
            size(field, bytes)?;
            if ms > limits::PULL_MS {
                return Err(Refused::over(ms_field, ms, limits::PULL_MS));
            }
            if bytes_per_s(bytes, ms).is_some_and(|rate| rate > limits::BYTES_PER_S) {
                let why = format!("is {bytes} in {ms} ms: at most {} bytes a second", limits::BYTES_PER_S);
                return Err(Refused::invalid(field, why));
            }
        }
        if self.streams > limits::STREAMS {
            return Err(Refused::over("pulled.streams", self.streams.into(), limits::STREAMS.into()));
        }
        Ok(())
    }
}

fn bytes_per_s(bytes: u64, ms: u64) -> Option<u64> {
    if bytes < TOO_SMALL_BYTES || ms < TOO_SHORT_MS {
        return None;
    }
    let rate = u128::from(bytes) * 1_000 / u128::from(ms);
    Some(u64::try_from(rate).unwrap_or(u64::MAX).max(1))
}
