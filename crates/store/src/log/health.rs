//! How the writer of the log fares.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::Log;

/// Syncs that a disk is judged by: few enough that a slow one is known in a second, enough that one that took long is not it.
const JUDGED_BY: usize = 8;

/// What the last syncs took.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    last: VecDeque<Duration>,
    /// When the one under way began.
    busy_since: Option<Instant>,
}

impl Syncs {
    pub(super) fn begin(&mut self) {
        self.busy_since = Some(Instant::now());
    }

    pub(super) fn end(&mut self) {
        self.busy_since = None;
    }

    pub(super) fn took(&mut self, time: Duration) {
        if self.last.len() == JUDGED_BY {
            self.last.pop_front();
        }
        self.last.push_back(time);
    }

    /// The larger of the two in the middle.
    fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        (sorted.len() == JUDGED_BY).then(|| sorted[JUDGED_BY / 2])
    }
}

impl Log {
    /// How long the write and sync under way have taken so far; zero where there is none. A disk that works takes
    /// milliseconds.
    pub fn busy_for(&self) -> Duration {
        self.shared.syncs.lock().busy_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What a sync of a group of entries takes: the median of the last few. Nothing before there were as many.
    pub fn sync_time(&self) -> Option<Duration> {
        self.shared.syncs.lock().median()
    }

    /// Ends when a write or a sync has failed, with the reason: nothing is written after it.
    pub async fn failed(&self) -> String {
        let mut written = self.shared.written.subscribe();
        let failed = written.wait_for(|written| written.failed.is_some()).await;
        failed.ok().and_then(|written| written.failed.as_deref().map(str::to_owned)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_that_takes_long_makes_no_slow_disk() {
        let mut syncs = Syncs::default();
        let ms = Duration::from_millis;
        (0..JUDGED_BY - 1).for_each(|_| syncs.took(ms(2)));
        assert_eq!(syncs.median(), None, "too few to judge");
        syncs.took(ms(900));
        assert_eq!(syncs.median(), Some(ms(2)));
        (0..JUDGED_BY / 2).for_each(|_| syncs.took(ms(100)));
        assert_eq!(syncs.median(), Some(ms(100)));
    }
}
