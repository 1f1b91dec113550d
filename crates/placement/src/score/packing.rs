//! GPU left over: first on the device that a share would go to, then on the whole host. A machine without GPU so goes
//! where the fewest GPUs could be stranded by it.

use gantry_types::WHOLE_GPU_MILLI;

use super::Term;
use crate::{Ask, Room, devices::tightest_free_milli};

pub(super) const TERM: Term = Term { name: "packing", value, at_best: |_, _| 0, at_best_with };

/// Above any host's free thousandths, so that the device counts before the host.
const DEVICE_WEIGHT: i64 = 1_000 * WHOLE_GPU_MILLI as i64;

fn value(ask: &Ask<'_>, room: &Room<'_>, _: u64) -> i64 {
    let free = room.free_gpu_milli() as i64;
    let Some(gpu) = ask.shape.and_then(|shape| shape.gpu.as_ref()) else { return -free };
    let device_left = tightest_free_milli(gpu, room).map_or(0, |tightest| i64::from(tightest - gpu.milli));
    -(device_left * DEVICE_WEIGHT + free - gpu.total_milli() as i64)
}

/// At best the share fills a device.
fn at_best_with(ask: &Ask<'_>, _: u64, gpu_milli: u32) -> i64 {
    let asked = ask.shape.and_then(|shape| shape.gpu.as_ref()).map_or(0, |gpu| gpu.total_milli() as i64);
    asked - i64::from(gpu_milli)
}
