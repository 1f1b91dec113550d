//! The smallest product of what is asked for and what is free (Tetris, Grandl et al., SIGCOMM '14, as the experiment has it).

use super::{ByScore, Policy};

/// The largest node.
const CPU_MILLI: f64 = 128_000.0;
const GPU_MILLI: f64 = 8_000.0;

pub(super) const POLICY: Policy = Policy {
    name: "DotProd",
    start: |_, _, _| {
        Box::new(ByScore(|room, pod| {
            let cpu = f64::from(room.cpu_milli) / CPU_MILLI * (f64::from(pod.cpu_milli) / CPU_MILLI);
            let gpu = room.free_gpu_milli() as f64 / GPU_MILLI * (pod.total_milli() as f64 / GPU_MILLI);
            (100.0 * (1.0 - (cpu + gpu) / 2.0)) as i64
        }))
    },
};
