//! What callers ask for.

mod volume;

use prost::Message;

use crate::{
    Affinity, Label, Refused, Scope, Shape, VolumeId, affinity,
    error::{name, optional_name},
    host::validate_labels,
    image::validate_reference,
    limits,
};

/// Place `count` machines of one shape and image. Encoded, it is also what a request id stands for: the same id with
/// other bytes is refused (S3).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PlaceRequest {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(string, tag = "2")]
    pub app: String,
    /// An image reference; empty places without image knowledge.
    #[prost(string, tag = "3")]
    pub image: String,
    #[prost(message, required, tag = "4")]
    pub shape: Shape,
    #[prost(message, required, tag = "5")]
    pub constraints: Constraints,
    #[prost(uint32, tag = "6")]
    pub count: u32,
    /// Refuse the whole request when fewer than `count` machines fit.
    #[prost(bool, tag = "7")]
    pub all_or_nothing: bool,
    /// How long the reservation stands unless it is confirmed or renewed. 0 asks for the default.
    #[prost(uint64, tag = "8")]
    pub lease_ms: u64,
    /// Ignore layers when ranking: the choice of an image-blind scheduler, for comparison.
    #[prost(bool, tag = "9")]
    pub image_blind: bool,
}

/// Stands for every region in a list of regions.
pub const ANY_REGION: &str = "any";

/// What a host must satisfy beyond having room.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Constraints {
    /// Acceptable regions and aliases of regions, the most wanted first; [`ANY_REGION`] stands for every one. Empty accepts
    /// any.
    #[prost(string, repeated, tag = "1")]
    pub regions: Vec<String>,
    /// Labels that the host must carry.
    #[prost(message, repeated, tag = "2")]
    pub require_labels: Vec<Label>,
    /// Labels that the host must not carry.
    #[prost(message, repeated, tag = "3")]
    pub avoid_labels: Vec<Label>,
    /// A host by name; empty leaves the choice open.
    #[prost(string, tag = "4")]
    pub host: String,
    /// The machine uses this volume and so goes to its host; 0 for none.
    #[prost(uint64, tag = "5")]
    pub volume: VolumeId,
    /// Volumes only: no two volumes of this app and name on one host.
    #[prost(bool, tag = "6")]
    pub unique_zone: bool,
    /// Volumes only: no two volumes of this app on one host, whatever their names.
    #[prost(bool, tag = "7")]
    pub unique_zone_app_wide: bool,
    /// Machines that the app may then have on the host; 0 for any number.
    #[prost(uint32, tag = "8")]
    pub max_per_host: u32,
    /// Machines that the app may then have in the host's zone; 0 for any number.
    #[prost(uint32, tag = "9")]
    pub max_per_zone: u32,
    /// A name that machines of several apps may share; empty for none.
    #[prost(string, tag = "10")]
    pub group: String,
    /// Machines of each of these must be near.
    #[prost(message, repeated, tag = "11")]
    pub affinity: Vec<Affinity>,
    /// Machines of none of these may be near. What is placed later is not bound by it.
    #[prost(message, repeated, tag = "12")]
    pub anti_affinity: Vec<Affinity>,
    /// The machine uses one of the app's volumes of this name that no machine uses; empty for none.
    #[prost(string, tag = "13")]
    pub volume_name: String,
}

/// Create a volume where its machine can run.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VolumeRequest {
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(string, tag = "2")]
    pub app: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(uint64, tag = "4")]
    pub size_bytes: u64,
    #[prost(message, required, tag = "5")]
    pub constraints: Constraints,
    /// The shape of the machine that will use it; the host must have room for that too.
    #[prost(message, optional, tag = "6")]
    pub compute: Option<Shape>,
    /// The image of the machine that will use it.
    #[prost(string, tag = "7")]
    pub compute_image: String,
    /// How long the machine's compute is held. 0 asks for the default, where a shape is given.
    #[prost(uint64, tag = "8")]
    pub hold_ms: u64,
    /// Hold nothing, although a shape is given: the host only has room for it now.
    #[prost(bool, tag = "9")]
    pub no_hold: bool,
    /// Another volume of the app whose content it begins with; 0 for none. A size of 0 is then the source's, and what is
    /// not said of the machine is what the source's machine has.
    #[prost(uint64, tag = "10")]
    pub fork_of: VolumeId,
}

impl PlaceRequest {
    pub fn validate(&self) -> Result<(), Refused> {
        name("request_id", &self.request_id)?;
        name("app", &self.app)?;
        if !self.image.is_empty() {
            validate_reference("image", &self.image)?;
        }
        self.shape.validate()?;
        self.constraints.validate(&self.app)?;
        if self.constraints.volume != 0 && !self.constraints.volume_name.is_empty() {
            return Err(Refused::invalid(
                "constraints.volume_name",
                "stands beside constraints.volume: name one of them",
            ));
        }
        if self.count == 0 || self.count > limits::MACHINES_PER_REQUEST {
            return Err(Refused::invalid(
                "count",
                format!("is {}: must be 1 to {}", self.count, limits::MACHINES_PER_REQUEST),
            ));
        }
        if self.constraints.volume != 0 && self.count > 1 {
            return Err(Refused::invalid("count", "is above 1 with a volume: a volume serves one machine"));
        }
        if self.constraints.unique_zone {
            return Err(Refused::invalid("constraints.unique_zone", "makes no sense for a machine: it parts volumes"));
        }
        if self.constraints.unique_zone_app_wide {
            return Err(Refused::invalid(
                "constraints.unique_zone_app_wide",
                "makes no sense for a machine: it parts volumes",
            ));
        }
        if self.lease_ms > limits::LEASE_MS {
            return Err(Refused::over("lease_ms", self.lease_ms, limits::LEASE_MS));
        }
        Ok(())
    }

    /// The feature level that a cluster must have to place it: a member below it would pass over a part of the request.
    pub fn feature_level(&self) -> u32 {
        self.constraints.feature_level().max(self.shape.feature_level())
    }

    /// The lease that counts: the default where none is named.
    pub fn effective_lease_ms(&self) -> u64 {
        if self.lease_ms == 0 { limits::LEASE_DEFAULT_MS } else { self.lease_ms }
    }
}

impl Constraints {
    pub(crate) fn feature_level(&self) -> u32 {
        let Self { max_per_host, max_per_zone, group, affinity, anti_affinity, volume_name, .. } = self;
        let newer = self.regions.iter().any(|region| region == ANY_REGION)
            || self.unique_zone_app_wide
            || (*max_per_host, *max_per_zone) != (0, 0)
            || !group.is_empty()
            || !affinity.is_empty()
            || !anti_affinity.is_empty()
            || !volume_name.is_empty();
        if newer { 2 } else { 1 }
    }

    /// Whether what is in other hosts of a zone decides.
    pub fn looks_at_zones(&self) -> bool {
        let mut named = self.affinity.iter().chain(&self.anti_affinity);
        self.max_per_zone > 0 || named.any(|affinity| affinity.scope() == Scope::Zone)
    }

    pub(crate) fn validate(&self, app: &str) -> Result<(), Refused> {
        if self.regions.len() > limits::REGIONS_PER_REQUEST {
            return Err(Refused::over(
                "constraints.regions",
                self.regions.len() as u64,
                limits::REGIONS_PER_REQUEST as u64,
            ));
        }
        self.regions.iter().try_for_each(|region| name("constraints.regions", region))?;
        validate_labels("constraints.require_labels", &self.require_labels)?;
        validate_labels("constraints.avoid_labels", &self.avoid_labels)?;
        optional_name("constraints.host", &self.host)?;
        optional_name("constraints.volume_name", &self.volume_name)?;
        affinity::validate(app, &self.group, &self.affinity, &self.anti_affinity)
    }
}
