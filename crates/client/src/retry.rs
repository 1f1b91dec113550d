//! How often and how long a call is repeated.

use std::time::Duration;

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
    fn pauses_are_bounded_however_often_it_is_tried() {
        let retry = Retry::default();
        for nth in [0, 1, 5, 31, 32, 1_000, u32::MAX] {
            assert!((0..100).all(|_| retry.pause(nth) <= retry.cap));
        }
        assert!((0..100).all(|_| retry.pause(0) <= retry.base));
    }
}
