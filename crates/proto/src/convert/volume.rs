//! Volumes.

use gantry_types::{
    self as types, Refused,
    error::{name, optional_name},
};

use crate::{
    convert::{page, release::present, shape::shape},
    v1,
};

impl TryFrom<v1::CreateVolumeRequest> for types::VolumeRequest {
    type Error = Refused;

    fn try_from(message: v1::CreateVolumeRequest) -> Result<Self, Refused> {
        let request = Self {
            request_id: message.request_id,
            app: message.app,
            name: message.name,
            size_bytes: message.size_bytes,
            constraints: message.constraints.map(Into::into).unwrap_or_default(),
            compute: message.compute.map(shape).transpose()?,
            compute_image: message.compute_image,
            hold_ms: message.hold_ms,
            no_hold: message.no_hold,
            fork_of: message.fork_of,
        };
        request.validate()?;
        Ok(request)
    }
}

impl From<types::VolumeRequest> for v1::CreateVolumeRequest {
    fn from(request: types::VolumeRequest) -> Self {
        Self {
            request_id: request.request_id,
            app: request.app,
            name: request.name,
            size_bytes: request.size_bytes,
            constraints: Some(request.constraints.into()),
            compute: request.compute.map(Into::into),
            compute_image: request.compute_image,
            hold_ms: request.hold_ms,
            no_hold: request.no_hold,
            fork_of: request.fork_of,
        }
    }
}

/// The message for a row, with the names of the host it is on.
pub fn volume(row: &types::Volume, host: &types::HostSpec) -> v1::Volume {
    v1::Volume {
        id: row.id,
        app: row.app.clone(),
        name: row.name.clone(),
        host_id: row.host,
        host: host.name.clone(),
        region: host.region.clone(),
        zone: host.zone.clone(),
        size_bytes: row.size_bytes,
        created_at_ms: row.created_at,
        rev: row.rev,
        used_by: row.used_by,
        hold: row.hold.as_deref().map(hold),
        forked_from: row.forked_from,
    }
}

fn hold(hold: &types::Hold) -> v1::VolumeHold {
    v1::VolumeHold {
        until_ms: hold.expires_at,
        shape: Some(hold.shape.clone().into()),
        devices: hold.devices.iter().map(|share| (*share).into()).collect(),
        image: hold.image.clone(),
    }
}

impl v1::DeleteVolumeRequest {
    pub fn check(&self) -> Result<(), Refused> {
        name("request_id", &self.request_id)?;
        present("volume_id", self.volume_id)
    }
}

impl v1::GetVolumeRequest {
    pub fn check(&self) -> Result<(), Refused> {
        present("volume_id", self.volume_id)
    }
}

impl v1::ListVolumesRequest {
    /// The number of items on the page.
    pub fn check(&self) -> Result<usize, Refused> {
        optional_name("app", &self.app)?;
        page(self.page_size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::convert::arbitrary;

    proptest! {
        #[test]
        fn round_trips(request in arbitrary::volume_request()) {
            prop_assert_eq!(types::VolumeRequest::try_from(v1::CreateVolumeRequest::from(request.clone())), Ok(request));
        }
    }

    #[test]
    fn every_field_of_the_row_and_the_host_arrives() {
        let (milli, shape) = (500, types::Shape { cpu_milli: 9, ..types::Shape::default() });
        let hold = types::Hold {
            shape: shape.clone(),
            devices: vec![types::DeviceShare { index: 8, milli }],
            image: "redis:7".into(),
            expires_at: 10,
        };
        let row = types::Volume {
            id: 1,
            app: "web".into(),
            name: "data".into(),
            host: 2,
            size_bytes: 3,
            created_at: 4,
            rev: 5,
            used_by: 6,
            hold: Some(Box::new(hold)),
            forked_from: 7,
        };
        let host =
            types::HostSpec { name: "h".into(), region: "r".into(), zone: "z".into(), ..types::HostSpec::default() };
        let expected = v1::Volume {
            id: 1,
            app: "web".into(),
            name: "data".into(),
            host_id: 2,
            host: "h".into(),
            region: "r".into(),
            zone: "z".into(),
            size_bytes: 3,
            created_at_ms: 4,
            rev: 5,
            used_by: 6,
            hold: Some(v1::VolumeHold {
                until_ms: 10,
                shape: Some(shape.into()),
                devices: vec![v1::DeviceShare { index: 8, milli }],
                image: "redis:7".into(),
            }),
            forked_from: 7,
        };
        assert_eq!(volume(&row, &host), expected);
    }

    #[test]
    fn bad_input_names_the_field() {
        let good = v1::CreateVolumeRequest {
            request_id: "r".into(),
            app: "web".into(),
            name: "data".into(),
            size_bytes: 1 << 30,
            ..v1::CreateVolumeRequest::default()
        };
        type Spoil = fn(&mut v1::CreateVolumeRequest);
        let cases: &[(&str, Spoil)] = &[
            ("request_id", |r| r.request_id.clear()),
            ("app", |r| r.app.clear()),
            ("name", |r| r.name.clear()),
            ("size_bytes", |r| r.size_bytes = 0),
            ("size_bytes", |r| r.size_bytes = u64::MAX),
            ("shape.cpu_kind", |r| r.compute = Some(v1::Shape { cpu_kind: 3, ..v1::Shape::default() })),
            ("compute_image", |r| r.compute_image = "a b".into()),
            ("hold_ms", |r| r.hold_ms = 1),
            ("hold_ms", |r| {
                r.compute = Some(v1::Shape { cpu_milli: 1, ..v1::Shape::default() });
                r.hold_ms = types::limits::LEASE_MS + 1;
            }),
            ("no_hold", |r| (r.fork_of, r.hold_ms, r.no_hold) = (1, 1, true)),
            ("constraints.volume_name", |r| {
                let constraints = v1::Constraints { volume_name: "data".into(), ..v1::Constraints::default() };
                r.constraints = Some(constraints);
            }),
            ("constraints.volume", |r| {
                r.constraints = Some(v1::Constraints { volume_id: 1, ..v1::Constraints::default() });
            }),
        ];
        for (expected, spoil) in cases {
            let mut message = good.clone();
            spoil(&mut message);
            let refused = types::VolumeRequest::try_from(message).expect_err("a bad request was accepted");
            assert!(
                matches!(&refused, Refused::Invalid { field, .. } if field == expected),
                "{refused:?} instead of an error about {expected}"
            );
        }
        let delete = v1::DeleteVolumeRequest { request_id: "r".into(), volume_id: 0 };
        assert!(matches!(delete.check(), Err(Refused::Invalid { field: "volume_id", .. })));
    }
}
