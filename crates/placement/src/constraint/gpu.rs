//! GPUs: enough devices of an acceptable kind, each with the asked thousandths free, all on this host, and in one NVLink
//! group where that is asked for.

use super::{Constraint, No, Quantity};
use crate::{
    Ask, Room,
    devices::{fitting, most_linked},
};

pub(super) const CONSTRAINT: Constraint = Constraint { name: "gpu", since_level: 1, of_zone: false, check };

fn check<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    let Some(gpu) = ask.shape.and_then(|shape| shape.gpu.as_ref()) else { return Ok(()) };
    let enough = if gpu.must_be_linked() {
        most_linked(gpu, room)
    } else {
        fitting(gpu, room).take(gpu.count as usize).count() as u32
    };
    if enough >= gpu.count {
        return Ok(());
    }
    let linked = gpu.must_be_linked();
    let devices = |count| Quantity::Devices { count, milli: gpu.milli, kinds: &gpu.kinds, linked };
    Err(No { want: devices(gpu.count), have: devices(enough), shortfall: u64::from(gpu.count - enough) })
}
