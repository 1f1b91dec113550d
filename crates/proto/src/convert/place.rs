//! Requests to place machines.

use std::collections::BTreeMap;

use gantry_types::{self as types, Refused, limits};

use crate::{convert::shape::shape, v1};

impl TryFrom<v1::PlaceRequest> for types::PlaceRequest {
    type Error = Refused;

    fn try_from(message: v1::PlaceRequest) -> Result<Self, Refused> {
        let request = Self {
            request_id: message.request_id,
            app: message.app,
            image: message.image,
            shape: shape(message.shape.unwrap_or_default())?,
            constraints: message.constraints.map(Into::into).unwrap_or_default(),
            count: message.count.max(1),
            all_or_nothing: message.all_or_nothing,
            lease_ms: message.lease_ms,
            image_blind: message.image_blind,
        };
        request.validate()?;
        Ok(request)
    }
}

impl v1::PlaceRequest {
    /// Takes out what the caller says its image is.
    pub fn take_manifest(&mut self) -> Result<Option<types::Image>, Refused> {
        let Some(mut manifest) = self.manifest.take() else { return Ok(None) };
        if self.image.is_empty() {
            return Err(Refused::invalid("manifest", "is of no image: name it in `image`"));
        }
        if manifest.reference.is_empty() {
            manifest.reference.clone_from(&self.image);
        } else if manifest.reference != self.image {
            let why = format!("is {:?} and `image` is {:?}: leave it out", manifest.reference, self.image);
            return Err(Refused::invalid("manifest.reference", why));
        }
        manifest.try_into().map(Some)
    }
}

impl From<types::PlaceRequest> for v1::PlaceRequest {
    fn from(request: types::PlaceRequest) -> Self {
        Self {
            request_id: request.request_id,
            app: request.app,
            image: request.image,
            shape: Some(request.shape.into()),
            constraints: Some(request.constraints.into()),
            count: request.count,
            all_or_nothing: request.all_or_nothing,
            lease_ms: request.lease_ms,
            image_blind: request.image_blind,
            manifest: None,
        }
    }
}

impl v1::PlaceManyRequest {
    /// Checks the number of requests, and that they are different ones. Each request is converted, and refused, on its
    /// own.
    pub fn check(&self) -> Result<(), Refused> {
        let (have, limit) = (self.requests.len(), limits::REQUESTS_PER_CALL);
        if have > limit {
            return Err(Refused::over("requests", have as u64, limit as u64));
        }
        let mut seen = BTreeMap::new();
        // One without an id is refused on its own.
        let named = self.requests.iter().enumerate().filter(|(_, request)| !request.request_id.is_empty());
        for (at, request) in named {
            if let Some(before) = seen.insert(request.request_id.as_str(), at) {
                let why = format!("{before} and {at} (from 0) have the same request_id: give each request its own");
                return Err(Refused::invalid("requests", why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::convert::arbitrary;

    proptest! {
        #[test]
        fn round_trips(request in arbitrary::place_request()) {
            prop_assert_eq!(types::PlaceRequest::try_from(v1::PlaceRequest::from(request.clone())), Ok(request));
        }
    }

    fn good() -> v1::PlaceRequest {
        v1::PlaceRequest {
            request_id: "r1".into(),
            app: "web".into(),
            shape: Some(v1::Shape { cpu_milli: 500, ..v1::Shape::default() }),
            ..v1::PlaceRequest::default()
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let request = types::PlaceRequest::try_from(good()).unwrap();
        assert_eq!(request.count, 1);
        assert_eq!(request.constraints, types::Constraints::default());
        assert_eq!(request.effective_lease_ms(), limits::LEASE_DEFAULT_MS);
    }

    #[test]
    fn bad_input_names_the_field() {
        type Spoil = fn(&mut v1::PlaceRequest);
        let cases: &[(&str, Spoil)] = &[
            ("request_id", |r| r.request_id.clear()),
            ("request_id", |r| r.request_id = "x".repeat(limits::NAME_BYTES + 1)),
            ("request_id", |r| r.request_id = "a\nb".into()),
            ("app", |r| r.app.clear()),
            ("image", |r| r.image = "two words".into()),
            ("image", |r| r.image = "x".repeat(limits::REFERENCE_BYTES + 1)),
            ("shape", |r| r.shape = None),
            ("shape.cpu_kind", |r| r.shape.as_mut().unwrap().cpu_kind = 9),
            ("count", |r| r.count = u32::MAX),
            ("lease_ms", |r| r.lease_ms = u64::MAX),
            ("count", |r| {
                r.count = 2;
                r.constraints = Some(v1::Constraints { volume_id: 1, ..v1::Constraints::default() });
            }),
            ("constraints.volume_name", |r| {
                let (volume_id, volume_name) = (1, "data".to_owned());
                r.constraints = Some(v1::Constraints { volume_id, volume_name, ..v1::Constraints::default() });
            }),
            ("constraints.volume_name", |r| {
                r.constraints = Some(v1::Constraints { volume_name: "a\nb".into(), ..v1::Constraints::default() });
            }),
            ("constraints.unique_zone", |r| {
                r.constraints = Some(v1::Constraints { unique_zone: true, ..v1::Constraints::default() });
            }),
            ("constraints.regions", |r| {
                r.constraints = Some(v1::Constraints { regions: vec![String::new()], ..v1::Constraints::default() });
            }),
            ("constraints.regions", |r| {
                let regions = vec!["ams,,fra".to_owned()];
                r.constraints = Some(v1::Constraints { regions, ..v1::Constraints::default() });
            }),
            ("constraints.regions", |r| {
                let regions = vec!["ams,".repeat(limits::REGIONS_PER_REQUEST + 1)];
                r.constraints = Some(v1::Constraints { regions, ..v1::Constraints::default() });
            }),
            ("constraints.unique_zone_app_wide", |r| {
                r.constraints = Some(v1::Constraints { unique_zone_app_wide: true, ..v1::Constraints::default() });
            }),
            ("constraints.affinity", |r| {
                let affinity = vec![v1::Affinity { app: "db".into(), scope: 3, ..v1::Affinity::default() }];
                r.constraints = Some(v1::Constraints { affinity, ..v1::Constraints::default() });
            }),
            ("constraints.require_labels", |r| {
                let require_labels = vec![v1::Label::default()];
                r.constraints = Some(v1::Constraints { require_labels, ..v1::Constraints::default() });
            }),
        ];
        for (expected, spoil) in cases {
            let mut message = good();
            spoil(&mut message);
            let refused = types::PlaceRequest::try_from(message).expect_err("a bad request was accepted");
            assert!(
                matches!(&refused, Refused::Invalid { field, .. } if field == expected),
                "{refused:?} instead of an error about {expected}"
            );
        }
    }

    #[test]
    fn too_many_requests_in_one_call_are_refused() {
        let message = v1::PlaceManyRequest { requests: vec![good(); limits::REQUESTS_PER_CALL + 1] };
        assert!(matches!(message.check(), Err(Refused::Invalid { field: "requests", .. })));
    }

    #[test]
    fn a_request_id_occurs_once_in_a_call() {
        let named = |id: &str| v1::PlaceRequest { request_id: id.into(), ..good() };
        let call = |ids: &[&str]| v1::PlaceManyRequest { requests: ids.iter().map(|id| named(id)).collect() };
        let refused = call(&["a", "b", "c", "b"]).check().expect_err("a repeated id was accepted");
        assert_eq!(
            refused.to_string(),
            "requests 1 and 3 (from 0) have the same request_id: give each request its own"
        );
        assert_eq!(call(&["a", "b", "c"]).check(), Ok(()));
        assert_eq!(call(&["", ""]).check(), Ok(()), "each is refused on its own");
    }
}
