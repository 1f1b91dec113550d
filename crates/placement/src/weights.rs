//! How much each score term counts.

use gantry_types::{Policy, Preset};

/// In thousandths of what the term says: 1,000 takes its microseconds as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weights {
    pub ready: u32,
    /// Beyond `ready` it counts as that: with more, a host that has to fetch could be better than one that has all.
    pub share: u32,
    pub stranded: u32,
    pub spread: u32,
}

impl Weights {
    pub const DEFAULT: Self = Self { ready: 1_000, share: 1_000, stranded: 1_000, spread: 1_000 };
    /// GPUs before start times: as few stranded as possible, and machines of one app may share a host.
    pub const PACK: Self = Self { ready: 100, share: 100, stranded: 10_000, spread: 0 };
    /// Machines of one app apart, as far as the rest allows.
    pub const SPREAD: Self = Self { ready: 1_000, share: 1_000, stranded: 0, spread: 1_000_000 };

    /// Those of a preset, some of them replaced.
    pub fn of(policy: &Policy) -> Self {
        let preset = match policy.preset() {
            Preset::Default => Self::DEFAULT,
            Preset::Pack => Self::PACK,
            Preset::Spread => Self::SPREAD,
        };
        Self {
            ready: policy.ready_milli.unwrap_or(preset.ready),
            share: policy.share_milli.unwrap_or(preset.share),
            stranded: policy.stranded_milli.unwrap_or(preset.stranded),
            spread: policy.spread_milli.unwrap_or(preset.spread),
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self::DEFAULT
    }
}
