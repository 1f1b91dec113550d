//! Volumes: disk of one host that outlives its machines.

use prost::Message;

use crate::{HostId, ReservationId, Stamp, VolumeId};

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Volume {
    #[prost(uint64, tag = "1")]
    pub id: VolumeId,
    #[prost(string, tag = "2")]
    pub app: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(uint32, tag = "4")]
    pub host: HostId,
    #[prost(uint64, tag = "5")]
    pub size_bytes: u64,
    #[prost(uint64, tag = "6")]
    pub created_at: Stamp,
    #[prost(uint64, tag = "7")]
    pub rev: u64,
    /// The reservation that uses it; 0 for none.
    #[prost(uint64, tag = "8")]
    pub used_by: ReservationId,
}
