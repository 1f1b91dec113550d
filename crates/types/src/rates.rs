//! How fast a host fetches and unpacks layers.

use prost::Message;

/// Compressed bytes a second.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct HostRates {
    /// One layer by itself: a layer is one flow.
    #[prost(uint64, tag = "1")]
    pub stream_bytes_per_s: u64,
    /// All flows together.
    #[prost(uint64, tag = "2")]
    pub link_bytes_per_s: u64,
    /// Unpacking, one layer after the other.
    #[prost(uint64, tag = "3")]
    pub unpack_bytes_per_s: u64,
}

impl HostRates {
    /// What others have published, for hosts that nothing was measured on: one flow at 74 MB/s, four together at 247 MB/s
    /// (prism-science/sampleworks PR 342), and a layer of 2.65 GB of `nvidia/cuda` 12.4.1 unpacked in 36.4 s.
    pub const PUBLISHED: Self =
        Self { stream_bytes_per_s: 74_000_000, link_bytes_per_s: 247_000_000, unpack_bytes_per_s: 73_000_000 };
}
