//! GPU that the placement makes useless to others, as the [outlook](crate::outlook) expects it.

use super::Term;
use crate::outlook::STEP_MILLI;

/// A GPU that nobody can use is worth a minute of waiting.
const GPU_MILLI_US: i64 = 60_000;

pub(super) const TERM: Term = Term {
    name: "stranded",
    cost_us: |_, _, prospect| us(prospect.fit.map_or(0, |fit| fit.cost)),
    at_least_us: |outline| us(outline.least_cost),
    weight: |weights| weights.stranded,
};

fn us(steps: i64) -> i64 {
    steps.saturating_mul(STEP_MILLI * GPU_MILLI_US)
}
