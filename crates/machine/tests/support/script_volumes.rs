//! Random volumes of the scripts, with what is held for their machines.

use gantry_machine::{CreateVolume, Kind, fingerprint};
use gantry_types::{DeviceShare, Plan, VolumeRequest};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{any_request, app, constraints, host_id, lease_ms, request_id, shape, volume};
use crate::oracle::Oracle;

/// Which devices are held for a volume's machine.
#[derive(Clone, Debug)]
pub enum HeldDevices {
    /// Devices that have room.
    Fitting,
    /// Devices that may be anything.
    Odd(Vec<(u32, u32)>),
}

pub fn create_volume(
    oracle: &Oracle,
    mut request: VolumeRequest,
    host: usize,
    fork_of: Option<usize>,
    hold: Option<HeldDevices>,
) -> Kind {
    let host = host_id(oracle, host);
    request.fork_of = fork_of.map_or(0, |pick| volume(oracle, pick));
    if let Some(source) = oracle.volumes.iter().find(|volume| volume.id == request.fork_of) {
        request.app.clone_from(&source.app);
    }
    let inherited = oracle.inherited(&request);
    let whole = request.inheriting(inherited.as_ref());
    let gpu = || whole.compute.as_ref()?.gpu.as_ref();
    let (count, milli) = gpu().map_or((0, 0), |gpu| (gpu.count as usize, gpu.milli));
    let hold = hold.filter(|_| whole.compute.is_some() && !whole.no_hold).map(|devices| match devices {
        HeldDevices::Fitting => {
            let room = oracle.host(host).zip(whole.compute.as_ref());
            let indices = room.map_or_else(Vec::new, |(host, shape)| oracle.linked(host, shape, 0));
            indices.into_iter().take(count).map(|index| DeviceShare { index, milli }).collect()
        }
        HeldDevices::Odd(devices) => devices.into_iter().map(|(index, milli)| DeviceShare { index, milli }).collect(),
    });
    let hold = hold.map(|devices| Plan { host, devices, ..Plan::default() });
    Kind::CreateVolume(CreateVolume { fingerprint: fingerprint(&request), request, host, inherited, hold })
}

pub fn held() -> impl Strategy<Value = HeldDevices> {
    let odd = vec((0..6u32, select(vec![0, 100, 250, 500, 1_000, 66_536])), 0..3);
    prop_oneof![6 => Just(HeldDevices::Fitting), 1 => odd.prop_map(HeldDevices::Odd)]
}

pub fn volume_request() -> impl Strategy<Value = VolumeRequest> {
    let size = prop_oneof![20 => 1..8u64, 2 => Just(0), 1 => Just(u64::MAX)];
    let image = option::of((0..3u8).prop_map(|n| format!("image-{n}")));
    let hold = (lease_ms(), proptest::bool::weighted(0.1), proptest::bool::weighted(0.1));
    (any_request(), app(), 0..2u8, size, constraints(0.5), option::weighted(0.5, shape()), image, hold).prop_map(
        |(id, app, name, size_bytes, constraints, compute, image, (hold_ms, no_hold, anyway))| VolumeRequest {
            request_id: request_id(id),
            app,
            name: format!("volume-{name}"),
            size_bytes,
            constraints,
            hold_ms: if compute.is_some() || anyway { hold_ms } else { 0 },
            no_hold,
            compute,
            compute_image: image.unwrap_or_default(),
            fork_of: 0,
        },
    )
}
