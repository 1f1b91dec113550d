//! GPUs: enough devices of an acceptable kind, each with the asked thousandths free, all on this host.

use super::{Constraint, No, Quantity};
use crate::{Ask, Room};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "gpu", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some(gpu) = ask.shape.and_then(|shape| shape.gpu.as_ref()) else { return Ok(()) };
    let mut enough = 0;
    for (position, device) in room.host.spec.devices.iter().enumerate() {
        if room.usage.free_device_milli(position) >= gpu.milli && gpu.accepts(&device.kind) {
            enough += 1;
            if enough == gpu.count {
                return Ok(());
            }
        }
    }
    let devices = |count| Quantity::Devices { count, milli: gpu.milli, kinds: &gpu.kinds };
    Err(No { want: devices(gpu.count), have: devices(enough), shortfall: u64::from(gpu.count - enough) })
}
