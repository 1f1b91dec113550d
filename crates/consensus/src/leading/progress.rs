//! Whether anything that a leader proposes is committed.

use std::time::Duration;

use tokio::time::Instant;

/// Entries that wait so long will go on waiting: a commit takes milliseconds, and a slow quorum some hundred of them.
const STUCK: Duration = Duration::from_millis(1_500);
/// A leader that gave up for it, and came to lead again without having committed anything, does not do so again before: it is
/// no better elsewhere, and reads are answered at least.
const NOT_AGAIN_BEFORE: Duration = Duration::from_secs(30);

/// What a leader has seen.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Index, and since when entries after it wait.
    committed: u64,
    waiting_since: Option<Instant>,
    gave_up: Option<Instant>,
}

impl Progress {
    /// Looks at the last index of the log and the last committed one.
    pub(super) fn is_stuck(&mut self, last: u64, committed: u64, now: Instant) -> bool {
        if committed != self.committed {
            self.gave_up = None;
        }
        if committed != self.committed || last <= committed {
            (self.committed, self.waiting_since) = (committed, None);
        }
        if last <= committed {
            return false;
        }
        let since = *self.waiting_since.get_or_insert(now);
        let is_new = self.gave_up.is_none_or(|gave_up| now - gave_up >= NOT_AGAIN_BEFORE);
        is_new && now - since >= STUCK
    }

    pub(super) fn gave_up(&mut self, now: Instant) {
        self.gave_up = Some(now);
    }

    /// The node does not lead any more.
    pub(super) fn ends(&mut self) {
        self.waiting_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_that_wait_without_any_commit_are_stuck() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut progress = Progress::default();
        assert!(!progress.is_stuck(5, 5, at(0)));
        assert!(!progress.is_stuck(5, 5, at(60_000)), "nobody waits");
        assert!(!progress.is_stuck(6, 5, at(60_000)));
        assert!(!progress.is_stuck(9, 6, at(61_400)), "something was committed");
        assert!(!progress.is_stuck(9, 6, at(62_800)));
        assert!(progress.is_stuck(9, 6, at(62_900)));
        progress.gave_up(at(62_900));
        progress.ends();
        assert!(!progress.is_stuck(9, 6, at(63_000)));
        assert!(!progress.is_stuck(9, 6, at(66_000)), "it was no better elsewhere");
        assert!(!progress.is_stuck(9, 8, at(66_000)));
        assert!(progress.is_stuck(9, 8, at(67_500)), "it had worked again");
    }
}
