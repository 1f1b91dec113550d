//! Volumes: disk of one host that outlives its machines.

use prost::Message;

use crate::{DeviceShare, HostId, ReservationId, Shape, Stamp, VolumeId};

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
    /// Compute of its host that waits for its machine. Boxed, because most volumes have none.
    #[prost(message, optional, boxed, tag = "9")]
    pub hold: Option<Box<Hold>>,
    /// The volume that it is a fork of; 0 for none. That one may be gone.
    #[prost(uint64, tag = "10")]
    pub forked_from: VolumeId,
}

/// Compute set aside for a volume's coming machine. It counts as used until that machine is reserved, the lease ends, or
/// the volume is deleted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Hold {
    #[prost(message, required, tag = "1")]
    pub shape: Shape,
    /// Sorted by device index.
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<DeviceShare>,
    /// Reference of the machine's image; empty where none was named.
    #[prost(string, tag = "3")]
    pub image: String,
    /// Stamped time at which the lease ends.
    #[prost(uint64, tag = "4")]
    pub expires_at: Stamp,
}

/// What a fork takes from its source and the machine there, as they were when it was planned. Nothing where the request
/// says it itself.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Inherited {
    #[prost(uint64, tag = "1")]
    pub size_bytes: u64,
    #[prost(message, optional, tag = "2")]
    pub compute: Option<Shape>,
    #[prost(string, tag = "3")]
    pub compute_image: String,
    /// The source's region, where the request names none.
    #[prost(string, tag = "4")]
    pub region: String,
}
