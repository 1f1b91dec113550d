//! Pods of a class together (Gandiva, Xiao et al., OSDI '18, as the experiment has it).

use super::{ByScore, Policy};
use crate::packing::fleet::class;

pub(super) const POLICY: Policy = Policy {
    name: "GpuClustering",
    start: |_, _, _| {
        Box::new(ByScore(|room, pod| {
            if pod.gpus == 0 {
                return 0;
            }
            let base = 25 * (8_000 - room.free_gpu_milli() as i64) / 8_000;
            let own = class(pod);
            base + match room.classes {
                0 => 25,
                classes if classes == own => 75,
                classes if classes & own != 0 => 50,
                _ => 0,
            }
        }))
    },
};
