//! The time that a leader stamps into entries.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gantry_types::Stamp;
use tokio::time::Instant;

/// What time it is, in milliseconds since 1970. Cheap to clone.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Stamp + Send + Sync>);

impl WallClock {
    /// The machine's.
    pub fn system() -> Self {
        Self::of(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            now.as_millis() as Stamp
        })
    }

    /// One that `now` tells.
    pub fn of(now: impl Fn() -> Stamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallClock({})", (self.0)())
    }
}

/// Follows the wall clock, but never stands still: where the state's time is ahead of it, an earlier leader's clock was,
/// and leases would run out only when the wall clock has caught up. Until then time goes on at nine tenths of its speed,
/// so that it catches up and no lease ends early.
#[derive(Debug)]
pub(super) struct Clock {
    /// A stamp that is ahead of the wall clock or was given by it, and when.
    base: Stamp,
    since: Instant,
    wall: WallClock,
}

impl Clock {
    /// From the state's time on.
    pub(super) fn starting(at: Stamp, wall: WallClock) -> Self {
        Self { base: at, since: Instant::now(), wall }
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        self.at((self.wall.0)(), Instant::now())
    }

    fn at(&mut self, wall: Stamp, now: Instant) -> Stamp {
        let passed = now.saturating_duration_since(self.since).as_millis() as Stamp;
        let own = self.base.saturating_add(passed / 10 * 9 + passed % 10 * 9 / 10);
        if wall < own {
            return own;
        }
        (self.base, self.since) = (wall, now);
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(clock: &Clock, ms: u64) -> Instant {
        clock.since + Duration::from_millis(ms)
    }

    #[test]
    fn a_wall_clock_that_runs_is_followed() {
        let mut clock = Clock::starting(1_000, WallClock::system());
        let later = after(&clock, 0);
        assert_eq!(clock.at(5_000, later), 5_000);
        let later = after(&clock, 100);
        assert_eq!(clock.at(5_100, later), 5_100);
        let later = after(&clock, 10);
        assert_eq!(clock.at(9_999, later), 9_999, "it may jump forward");
    }

    #[test]
    fn time_goes_on_while_the_wall_clock_is_behind() {
        let mut clock = Clock::starting(1_000_000, WallClock::system());
        let start = clock.since;
        let stamps: Vec<Stamp> =
            (0..=2_000).map(|ms| clock.at(500_000 + ms, start + Duration::from_millis(ms))).collect();
        assert!(stamps.is_sorted(), "time went back");
        assert_eq!((stamps[0], stamps[2_000]), (1_000_000, 1_001_800));
        let often = (0..10_000).map(|us| clock.at(0, start + Duration::from_micros(us * 100)));
        assert_eq!(often.last(), Some(1_000_899), "however often it is asked");
    }

    #[test]
    fn a_wall_clock_that_was_set_back_catches_up() {
        let mut clock = Clock::starting(0, WallClock::system());
        let start = clock.since;
        assert_eq!(clock.at(100_000, start), 100_000);
        assert_eq!(clock.at(99_000, start), 100_000);
        assert_eq!(clock.at(99_000 + 9_999, start + Duration::from_millis(9_999)), 108_999);
        assert_eq!(clock.at(99_000 + 20_000, start + Duration::from_millis(20_000)), 119_000);
    }
}
