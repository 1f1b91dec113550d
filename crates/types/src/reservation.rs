//! What was planned and what is promised.

use prost::{Enumeration, Message};

use crate::{Constraints, Fence, HostId, ReservationId, Shape, Stamp, VolumeId};

/// A proposed placement of one machine: explicit, nothing left to choose at apply.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Plan {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    /// Sorted by device index.
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<DeviceShare>,
    /// Chosen among the volumes that the request names; 0 where it names one by its number, or none.
    #[prost(uint64, tag = "3")]
    pub volume: VolumeId,
}

impl Plan {
    /// The volume that the machine uses, by the plan or by the request; 0 for none.
    pub fn volume_for(&self, constraints: &Constraints) -> VolumeId {
        if self.volume == 0 { constraints.volume } else { self.volume }
    }
}

/// A part of one GPU, or the whole of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct DeviceShare {
    #[prost(uint32, tag = "1")]
    pub index: u32,
    #[prost(uint32, tag = "2")]
    pub milli: u32,
}

/// How far a reservation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Phase {
    /// Committed; the host has not confirmed it, and its lease runs.
    Reserved = 0,
    /// The host confirmed it: it stands until it is released.
    Allocated = 1,
}

/// A committed placement of one machine.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Reservation {
    #[prost(uint64, tag = "1")]
    pub id: ReservationId,
    #[prost(uint64, tag = "2")]
    pub fence: Fence,
    #[prost(string, tag = "3")]
    pub app: String,
    #[prost(string, tag = "4")]
    pub image: String,
    #[prost(message, required, tag = "5")]
    pub shape: Shape,
    #[prost(message, required, tag = "6")]
    pub plan: Plan,
    /// The volume it uses; 0 for none.
    #[prost(uint64, tag = "7")]
    pub volume: VolumeId,
    #[prost(enumeration = "Phase", tag = "8")]
    pub phase: i32,
    #[prost(uint64, tag = "9")]
    pub lease_ms: u64,
    /// Stamped time at which the lease ends; 0 once it no longer runs.
    #[prost(uint64, tag = "10")]
    pub expires_at: Stamp,
    #[prost(uint64, tag = "11")]
    pub created_at: Stamp,
    /// The log index that granted it.
    #[prost(uint64, tag = "12")]
    pub rev: u64,
    #[prost(string, tag = "13")]
    pub request_id: String,
    /// Of the request's constraints; empty for none.
    #[prost(string, tag = "14")]
    pub group: String,
}
