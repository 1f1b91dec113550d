//! No more bytes a second than are allowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// What was not used for so long may be used at once.
const BURST: Duration = Duration::from_millis(100);

/// A limit, and until when it is used up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// 0 is no limit.
    bytes_per_s: u64,
    paid: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, paid: None }
    }

    /// Takes bytes that have come; how long to wait before more may come.
    fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        let from = now.checked_sub(BURST).unwrap_or(now);
        let paid = self.paid.map_or(from, |paid| paid.max(from)) + cost;
        self.paid = Some(paid);
        paid.saturating_duration_since(now)
    }

    /// Lets more through: of two who want the same, the one in more of a hurry counts.
    fn raise(&mut self, bytes_per_s: u64) {
        if self.bytes_per_s != 0 && (bytes_per_s == 0 || bytes_per_s > self.bytes_per_s) {
            *self = Self::new(bytes_per_s);
        }
    }
}

/// One fetch's own limit, within that of all.
#[derive(Debug)]
pub(super) struct Limits {
    own: Mutex<Bucket>,
    all: Arc<Mutex<Bucket>>,
    /// A machine waits for it.
    is_lifted: AtomicBool,
}

impl Limits {
    pub(super) fn new(bytes_per_s: u64, all: Arc<Mutex<Bucket>>) -> Self {
        Self { own: Mutex::new(Bucket::new(bytes_per_s)), all, is_lifted: AtomicBool::new(false) }
    }

    /// Bytes have come: waits until more may.
    pub(super) async fn pass(&self, bytes: u64) {
        if self.is_lifted.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let wait = self.own.lock().take(bytes, now);
        let wait = wait.max(self.all.lock().take(bytes, now));
        if wait > Duration::ZERO {
            sleep(wait).await;
        }
    }

    pub(super) fn raise(&self, bytes_per_s: u64) {
        self.own.lock().raise(bytes_per_s);
    }

    /// Nothing is held back any more.
    pub(super) fn lift(&self) {
        self.is_lifted.store(true, Ordering::Relaxed);
    }

    /// Whether how fast bytes come says something of the limit, and not of the link.
    pub(super) fn is_limited(&self) -> bool {
        self.own.lock().bytes_per_s != 0 || self.all.lock().bytes_per_s != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_as_fast_as_allowed_and_a_pause_is_not_saved_up() {
        let (mut bucket, mut now) = (Bucket::new(1_000), Instant::now());
        assert_eq!(bucket.take(100, now), Duration::ZERO, "the burst");
        let begun = now;
        for _ in 0..50 {
            now += bucket.take(200, now);
        }
        assert!((now - begun).abs_diff(Duration::from_secs(10)) < Duration::from_millis(1), "{:?}", now - begun);
        now += Duration::from_secs(3_600);
        assert!(bucket.take(1_100, now).abs_diff(Duration::from_secs(1)) < Duration::from_millis(1));
    }

    #[test]
    fn a_limit_is_only_ever_raised() {
        let (mut bucket, now) = (Bucket::new(1_000), Instant::now());
        bucket.raise(10);
        assert_eq!(bucket.bytes_per_s, 1_000);
        bucket.raise(2_000);
        assert_eq!(bucket.bytes_per_s, 2_000);
        bucket.raise(0);
        bucket.raise(5);
        assert_eq!(bucket.take(1 << 40, now), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_smaller_of_two_limits_counts() {
        let all = Arc::new(Mutex::new(Bucket::new(1_000)));
        for (own, seconds) in [(0, 10), (500, 20), (5_000, 10)] {
            *all.lock() = Bucket::new(1_000);
            let (limits, begun) = (Limits::new(own, Arc::clone(&all)), Instant::now());
            for _ in 0..10 {
                limits.pass(1_000).await;
            }
            let took = begun.elapsed().abs_diff(Duration::from_secs(seconds));
            assert!(took < Duration::from_millis(300), "{own}: {:?}", begun.elapsed());
        }
    }
}
