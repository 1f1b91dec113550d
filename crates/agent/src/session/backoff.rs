//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles up to a limit. Each pause is a random part of it, so that ten thousand agents whose server restarted do not come
/// back in the same moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    at_most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { at_most: FIRST }
    }
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let at_most = self.at_most;
        self.at_most = (at_most * 2).min(LONGEST);
        at_most.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..50).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= FIRST && pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[10..].iter().all(|pause| *pause >= LONGEST / 2));
    }
}
