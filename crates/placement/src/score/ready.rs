//! The time until the image is unpacked on the host.

use super::Term;
use crate::sight::clamped;

pub(super) const TERM: Term = Term {
    name: "ready",
    cost_us: |_, _, prospect| clamped(prospect.estimate.ready_us),
    at_least_us: |outline| clamped(outline.ready_us),
    weight: |weights| weights.ready,
};
