//! Committed placements.

use gantry_types as types;

use crate::v1;

/// The message for a row, with the names of the host it is on.
pub fn reservation(row: &types::Reservation, host: &types::HostSpec) -> v1::Reservation {
    let phase = match row.phase() {
        types::Phase::Reserved => v1::Phase::Reserved,
        types::Phase::Allocated => v1::Phase::Allocated,
    };
    v1::Reservation {
        id: row.id,
        fence: row.fence,
        app: row.app.clone(),
        image: row.image.clone(),
        shape: Some(row.shape.clone().into()),
        host_id: row.plan.host,
        host: host.name.clone(),
        region: host.region.clone(),
        zone: host.zone.clone(),
        devices: row.plan.devices.iter().map(|share| (*share).into()).collect(),
        volume_id: row.volume,
        phase: phase as i32,
        lease_ms: row.lease_ms,
        expires_at_ms: row.expires_at,
        created_at_ms: row.created_at,
        rev: row.rev,
        request_id: row.request_id.clone(),
        group: row.group.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_row_and_the_host_arrives() {
        let shape = types::Shape { cpu_milli: 500, memory_bytes: 1 << 30, ..types::Shape::default() };
        let row = types::Reservation {
            id: 1,
            fence: 2,
            app: "web".into(),
            image: "redis:7".into(),
            shape: shape.clone(),
            plan: types::Plan { host: 3, devices: vec![types::DeviceShare { index: 4, milli: 250 }], volume: 5 },
            volume: 5,
            phase: types::Phase::Allocated as i32,
            lease_ms: 6,
            expires_at: 7,
            created_at: 8,
            rev: 9,
            request_id: "r".into(),
            group: "g".into(),
        };
        let host =
            types::HostSpec { name: "h3".into(), region: "ams".into(), zone: "a".into(), ..types::HostSpec::default() };
        assert_eq!(
            reservation(&row, &host),
            v1::Reservation {
                id: 1,
                fence: 2,
                app: "web".into(),
                image: "redis:7".into(),
                shape: Some(shape.into()),
                host_id: 3,
                host: "h3".into(),
                region: "ams".into(),
                zone: "a".into(),
                devices: vec![v1::DeviceShare { index: 4, milli: 250 }],
                volume_id: 5,
                phase: v1::Phase::Allocated as i32,
                lease_ms: 6,
                expires_at_ms: 7,
                created_at_ms: 8,
                rev: 9,
                request_id: "r".into(),
                group: "g".into(),
            }
        );
    }
}
