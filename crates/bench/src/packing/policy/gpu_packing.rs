//! Devices in use before idle ones, nodes in use before idle ones (MLaaS in the wild, Weng et al., NSDI '22, as the
//! experiment has it).

use super::{ByScore, Policy};

pub(super) const POLICY: Policy = Policy {
    name: "GpuPacking",
    start: |_, _, _| {
        Box::new(ByScore(|room, pod| {
            if pod.gpus == 0 {
                return 0;
            }
            let idle = room.idle() as i64;
            if room.idle() == room.free_milli.len() {
                return (33 - idle).max(idle);
            }
            let free: Vec<i64> = room.fullest(pod).into_iter().map(|at| i64::from(room.free_milli[at])).collect();
            match free.iter().filter(|&&free| free == 1_000).count() as i64 {
                0 => (100 - free.iter().map(|free| free / 10).sum::<i64>() / 10).max(50),
                idle_used => (50 - idle_used).max(33),
            }
        }))
    },
};
