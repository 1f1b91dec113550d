//! How many bytes of log lie after an index, near enough to decide on snapshots and purges.

use std::collections::VecDeque;

/// Bytes between two samples.
const SAMPLE_BYTES: u64 = 1 << 20;

/// Running totals, sampled about once a megabyte.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Index, and all bytes ever added before it.
    samples: VecDeque<(u64, u64)>,
    added: u64,
    removed: u64,
}

impl Usage {
    pub(super) fn added(&mut self, index: u64, bytes: usize) {
        if self.samples.back().is_none_or(|&(_, before)| self.added - before >= SAMPLE_BYTES) {
            self.samples.push_back((index, self.added));
        }
        self.added += bytes as u64;
    }

    pub(super) fn truncated(&mut self, next: u64) {
        while let Some((_, before)) = self.samples.pop_back_if(|&mut (index, _)| index >= next) {
            self.added = before.max(self.removed);
        }
    }

    pub(super) fn purged(&mut self, upto: u64) {
        while let Some((_, before)) = self.samples.pop_front_if(|&mut (index, _)| index <= upto) {
            self.removed = before;
        }
        if self.samples.is_empty() {
            self.removed = self.added;
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.added - self.removed
    }

    pub(super) fn bytes_after(&self, index: u64) -> u64 {
        let at = self.samples.partition_point(|&(sample, _)| sample <= index);
        let before = at.checked_sub(1).map_or(self.removed, |at| self.samples[at].1);
        self.added - before
    }

    /// The largest index such that at least about `bytes` lie after it; 0 where less is there at all.
    pub(super) fn index_keeping(&self, bytes: u64) -> u64 {
        let goal = self.added.saturating_sub(bytes);
        let at = self.samples.partition_point(|&(_, before)| before <= goal);
        at.checked_sub(1).map_or(0, |at| self.samples[at].0.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_place_that_keeps_enough() {
        let mut usage = Usage::default();
        (0..100).for_each(|index| usage.added(index, SAMPLE_BYTES as usize));
        assert_eq!(usage.bytes(), 100 * SAMPLE_BYTES);
        assert_eq!(usage.index_keeping(10 * SAMPLE_BYTES), 89);
        assert_eq!(usage.bytes_after(89), 11 * SAMPLE_BYTES, "rounded up to a sample");
        usage.purged(49);
        assert_eq!(usage.bytes(), 51 * SAMPLE_BYTES, "rounded up to a sample");
        usage.truncated(90);
        assert_eq!(usage.bytes(), 41 * SAMPLE_BYTES);
        assert_eq!(usage.index_keeping(u64::MAX), 0);
    }
}
