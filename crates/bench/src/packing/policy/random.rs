//! A feasible node drawn uniformly; a share on a fitting device drawn uniformly.

use fastrand::Rng;

use super::{Choose, Chosen, Policy};
use crate::packing::{fleet::Room, trace::Pod};

pub(super) const POLICY: Policy =
    Policy { name: "Random", start: |_, _, seed| Box::new(Random(Rng::with_seed(seed ^ 0x7a6d))) };

struct Random(Rng);

impl Choose for Random {
    fn choose(&mut self, rooms: &[Room], pod: &Pod) -> Option<Chosen> {
        let feasible: Vec<usize> = (0..rooms.len()).filter(|&at| rooms[at].fits(pod)).collect();
        let node = self.0.choice(feasible)?;
        let mut devices = rooms[node].fullest(pod);
        if pod.is_share() {
            let free = &rooms[node].free_milli;
            let fitting: Vec<usize> = (0..free.len()).filter(|&at| free[at] >= pod.gpu_milli).collect();
            devices = self.0.choice(fitting).into_iter().collect();
        }
        Some(Chosen { node, devices })
    }
}
