//! How often and how long a call is repeated.

use std::time::Duration;

/// Some round trips, and a sync of a busy disk.
const SHORTEST_TRY: Duration = Duration::from_millis(50);

/// The bounds of repeating a call. The same request id is used every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first one included.
    pub attempts: u32,
    /// The longest first pause; it doubles with each one. The real pause is a random part of it, so that many clients
    /// do not come back at the same moment.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// One try may take this long; then the next node is asked.
    pub attempt: Duration,
    /// All tries and pauses together may take this long.
    pub deadline: Duration,
}

impl Default for Retry {
    /// Outlasts the election of a new leader several times over, and stays far below the two minutes for which the
    /// servers remember request ids.
    fn default() -> Self {
        Self {
            attempts: 64,
            base: Duration::from_millis(10),
            cap: Duration::from_millis(400),
            attempt: Duration::from_secs(3),
            deadline: Duration::from_secs(15),
        }
    }
}

impl Retry {
    /// One try, which may take all of the deadline.
    pub fn never(self) -> Self {
        Self { attempts: 1, attempt: self.deadline, ..self }
    }

    /// Whether a try with so little time left may get an answer. One that gets none makes a "no" a "not known".
    pub(crate) fn is_worth_a_try(&self, left: Duration) -> bool {
        left > SHORTEST_TRY.min(self.deadline / 10)
    }

    /// The pause before repetition `nth`, counted from 0: random, up to `base * 2^nth`, at most `cap`.
    pub(crate) fn pause(&self, nth: u32) -> Duration {
        let longest = self.base.saturating_mul(1_u32.checked_shl(nth).unwrap_or(u32::MAX)).min(self.cap);
        longest.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_not_made_a_not_known_by_a_try_that_has_no_time() {
        let (ms, retry) = (Duration::from_millis, Retry::default());
        assert!(!retry.is_worth_a_try(ms(0)) && !retry.is_worth_a_try(ms(50)) && retry.is_worth_a_try(ms(51)));
        let hasty = Retry { deadline: ms(100), ..retry };
        assert!(!hasty.is_worth_a_try(ms(10)) && hasty.is_worth_a_try(ms(11)));
    }

    #[test]
    fn pauses_are_bounded_however_often_it_is_tried() {
        let retry = Retry::default();
        for nth in [0, 1, 5, 31, 32, 1_000, u32::MAX] {
            assert!((0..100).all(|_| retry.pause(nth) <= retry.cap));
        }
        assert!((0..100).all(|_| retry.pause(0) <= retry.base));
    }
}
