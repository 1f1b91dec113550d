//! How long this thread was ready to run and no core ran it: on a machine that is shared, others' work and not ours.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// A clock that stands still while the thread waits for a core, where Linux tells how long that was.
#[derive(Debug)]
pub struct Clock {
    schedstat: Option<File>,
}

/// A moment on a [`Clock`].
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Instant,
    waited_ns: u64,
}

impl Clock {
    /// Of the calling thread.
    pub fn of_this_thread() -> Self {
        Self { schedstat: File::open("/proc/thread-self/schedstat").ok() }
    }

    pub fn now(&self) -> Moment {
        let waited_ns = self.waited_ns();
        Moment { at: Instant::now(), waited_ns }
    }

    /// What has passed by the wall clock, and the part of it in which the thread ran.
    pub fn since(&self, moment: Moment) -> (Duration, Duration) {
        let wall = moment.at.elapsed();
        let waited = Duration::from_nanos(self.waited_ns().saturating_sub(moment.waited_ns));
        (wall, wall.saturating_sub(waited))
    }

    /// The second field: nanoseconds on a run queue.
    fn waited_ns(&self) -> u64 {
        let mut text = [0; 96];
        let read = self.schedstat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = std::str::from_utf8(&text[..read]).unwrap_or_default();
        text.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_is_never_more_than_the_wall_clock() {
        let clock = Clock::of_this_thread();
        let started = clock.now();
        let sum = (0..100_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum.wrapping_add(n)));
        let (wall, ran) = clock.since(started);
        assert!(sum > 0 && ran <= wall && wall > Duration::ZERO);
    }
}
