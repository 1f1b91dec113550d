//! What the wait for an image is worth to the machines that come after.
//!
//! An image that is fetched serves every machine of it that the host will run. So of the time that it takes, a tenth is
//! taken off for each further machine that fits on the host, up to [`FOLLOWERS`]; and a hundredth is added, so that of two
//! hosts that are as soon ready the one with less to do is taken. A burst of a cold image so goes to the hosts that can
//! hold the most of it, and not to those that are nearly full and would soon have to be followed by others.
//!
//! It takes off less than the wait itself: a host that has the image is before one that must fetch it, all else equal.

use super::Term;
use crate::sight::clamped;

/// Further machines that count.
pub(crate) const FOLLOWERS: u64 = 8;
const FOLLOWER_PERCENT: i64 = 10;
const FETCH_PERCENT: i64 = 1;

pub(super) const TERM: Term = Term {
    name: "share",
    cost_us: |_, _, prospect| cost_us(prospect.fetch_us, prospect.alone_us, prospect.more),
    at_least_us: |outline| cost_us(outline.ready_us, outline.ready_us, outline.more_at_most),
    weight: |weights| weights.share.min(weights.ready),
};

fn cost_us(fetch_us: u64, alone_us: u64, more: u64) -> i64 {
    let followers = more.min(FOLLOWERS) as i64;
    (clamped(fetch_us) * FETCH_PERCENT - clamped(alone_us) * FOLLOWER_PERCENT * followers).div_euclid(100)
}
