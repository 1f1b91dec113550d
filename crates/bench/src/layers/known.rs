//! The policies that everyone knows, each a score of one host; ties are broken at random.

use super::{
    files::Image,
    fleet::{Fleet, HostNo, Seen},
};

const MB: u64 = 1_000_000;
/// Bounds of Kubernetes' ImageLocality, `pkg/scheduler/framework/plugins/imagelocality`.
const LEAST_IMAGE_BYTES: u64 = 23 * MB;
const MOST_IMAGE_BYTES: u64 = 1_000 * MB;
const MAX_NODE_SCORE: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Spread,
    ImageLocality,
    ImageFirst,
    LayerOverlap,
    EtaGreedy,
}

impl Known {
    /// The host for one machine; none where no slot is free.
    pub fn choose(self, fleet: &Fleet, image: &Image, rng: &mut fastrand::Rng, seen: &mut Vec<Seen>) -> Option<HostNo> {
        fleet.look(image, seen);
        let with_image = seen.iter().filter(|seen| seen.missing_bytes == 0).count() as u64;
        let locality = image_locality(image.bytes, with_image, seen.len() as u64);
        let mut best = None;
        let mut equal = 0_u32;
        for (host, seen) in seen.iter().enumerate().filter(|&(host, _)| fleet.free(host) > 0) {
            let free = i64::from(fleet.free(host));
            let whole = seen.missing_bytes == 0;
            let score = match self {
                Self::Spread => (0, free),
                Self::ImageLocality => {
                    let least_allocated = (free - 1) * MAX_NODE_SCORE as i64 / i64::from(fleet.slots);
                    (0, least_allocated + if whole { locality as i64 } else { 0 })
                }
                Self::ImageFirst => (i64::from(whole), free),
                Self::LayerOverlap => (-(seen.missing_bytes as i64), free),
                Self::EtaGreedy => (-(seen.ready_us as i64), free),
            };
            equal = match best {
                Some((known, _)) if score < known => continue,
                Some((known, _)) if score == known => equal + 1,
                _ => 1,
            };
            if equal == 1 || rng.u32(0..equal) == 0 {
                best = Some((score, host));
            }
        }
        best.map(|(_, host)| host as HostNo)
    }
}

/// The score of a node that has the image.
pub fn image_locality(bytes: u64, with_image: u64, nodes: u64) -> u64 {
    // The original multiplies the size by a float fraction and truncates; sizes are far below 2^53.
    let scaled = bytes * with_image / nodes.max(1);
    let clamped = scaled.clamp(LEAST_IMAGE_BYTES, MOST_IMAGE_BYTES);
    MAX_NODE_SCORE * (clamped - LEAST_IMAGE_BYTES) / (MOST_IMAGE_BYTES - LEAST_IMAGE_BYTES)
}
