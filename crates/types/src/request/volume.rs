//! Requests for volumes: what is refused of them, and what a fork takes over.

use std::borrow::Cow;

use super::VolumeRequest;
use crate::{
    Inherited, Refused, Shape,
    error::{name, size},
    image::validate_reference,
    limits,
};

impl VolumeRequest {
    pub fn validate(&self) -> Result<(), Refused> {
        name("request_id", &self.request_id)?;
        name("app", &self.app)?;
        name("name", &self.name)?;
        if self.size_bytes == 0 && self.fork_of == 0 {
            return Err(Refused::invalid("size_bytes", "is 0: a volume has a size"));
        }
        size("size_bytes", self.size_bytes)?;
        if let Some(compute) = &self.compute {
            compute.validate()?;
        }
        if !self.compute_image.is_empty() {
            validate_reference("compute_image", &self.compute_image)?;
        }
        self.validate_hold()?;
        if self.constraints.volume != 0 {
            return Err(Refused::invalid("constraints.volume", "makes no sense for a new volume"));
        }
        if !self.constraints.volume_name.is_empty() {
            return Err(Refused::invalid("constraints.volume_name", "makes no sense for a new volume"));
        }
        self.constraints.validate(&self.app)
    }

    fn validate_hold(&self) -> Result<(), Refused> {
        if self.hold_ms > limits::LEASE_MS {
            return Err(Refused::over("hold_ms", self.hold_ms, limits::LEASE_MS));
        }
        if self.hold_ms != 0 && self.no_hold {
            return Err(Refused::invalid("no_hold", "contradicts hold_ms: leave one of them out"));
        }
        if self.hold_ms != 0 && self.compute.is_none() && self.fork_of == 0 {
            return Err(Refused::invalid("hold_ms", "is given without compute: say what to hold"));
        }
        Ok(())
    }

    /// As [`PlaceRequest::feature_level`](crate::PlaceRequest::feature_level).
    pub fn feature_level(&self) -> u32 {
        let newer = self.hold_ms != 0 || self.no_hold || self.fork_of != 0;
        let compute = self.compute.as_ref().map_or(1, Shape::feature_level);
        self.constraints.feature_level().max(compute).max(if newer { 2 } else { 1 })
    }

    /// What is held for the machine, if anything is.
    pub fn held_shape(&self) -> Option<&Shape> {
        self.compute.as_ref().filter(|_| !self.no_hold)
    }

    /// The lease of the hold that counts: the default where none is named.
    pub fn effective_hold_ms(&self) -> u64 {
        if self.hold_ms == 0 { limits::LEASE_DEFAULT_MS } else { self.hold_ms }
    }

    /// The request of a fork with all that it takes over; any other as it is.
    pub fn inheriting(&self, inherited: Option<&Inherited>) -> Cow<'_, Self> {
        let Some(Inherited { size_bytes, compute, compute_image, region }) = inherited else {
            return Cow::Borrowed(self);
        };
        let mut request = self.clone();
        if request.size_bytes == 0 {
            request.size_bytes = *size_bytes;
        }
        request.compute = request.compute.or_else(|| compute.clone());
        if request.compute_image.is_empty() {
            request.compute_image.clone_from(compute_image);
        }
        if request.constraints.regions.is_empty() && !region.is_empty() {
            request.constraints.regions.push(region.clone());
        }
        Cow::Owned(request)
    }
}
