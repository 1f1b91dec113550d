//! The nouns of Gantry: what is asked for, what is planned, what is promised, and why something is refused.
//!
//! Everything that is persisted or replicated derives `prost::Message`, so what lies in the log and on disk is
//! exactly what is in memory and there is no second set of structs to keep in step. A field's tag is therefore a
//! storage format: never renumber one, never reuse one.
//!
//! Must not be in here: I/O, async, clocks, randomness, decisions.

pub mod affinity;
pub mod change;
pub mod error;
pub mod host;
pub mod image;
pub mod limits;
pub mod overrides;
pub mod policy;
pub mod rates;
pub mod region;
pub mod rejection;
pub mod request;
pub mod reservation;
pub mod shape;
pub mod volume;

pub use affinity::{Affinity, Party, Scope};
pub use change::RequestChange;
pub use error::{Certainty, Refused};
pub use host::{DEDICATED_LABEL, Device, HostSpec, Label};
pub use image::{Digest, Image, Layer, LayerState};
pub use overrides::HostOverrides;
pub use policy::{AppPolicy, Policy, Preset};
pub use rates::{HostRates, PullObservation, STREAMS};
pub use region::RegionAlias;
pub use rejection::{Rejection, RejectionGroup};
pub use request::{ANY_REGION, Constraints, PlaceRequest, VolumeRequest};
pub use reservation::{DeviceShare, Phase, Plan, Reservation};
pub use shape::{CpuKind, GpuShape, Shape, WHOLE_GPU_MILLI};
pub use volume::{Hold, Inherited, Volume};

/// A host's number: given by the state machine at its first registration, never used again.
pub type HostId = u32;
/// A layer's number in the replicated layer table.
pub type LayerId = u32;
/// A reservation's number; grows with every grant.
pub type ReservationId = u64;
/// A volume's number; grows with every creation.
pub type VolumeId = u64;
/// Orders all grants of a host's resources: a larger fence is a later grant (S10).
pub type Fence = u64;
/// A position in the replicated log.
pub type Rev = u64;
/// Milliseconds since the Unix epoch, stamped by the leader into the log entry.
pub type Stamp = u64;
