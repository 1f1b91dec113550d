//! Which hosts changed lately, so that whoever keeps something derived from hosts can catch up without a scan.

use std::collections::VecDeque;

use gantry_types::HostId;

/// Entries kept. Whoever falls further behind rebuilds from the whole fleet.
const KEPT: usize = 1 << 16;

/// One host changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    pub host: HostId,
    /// Its layers changed, not only its room.
    pub layers: bool,
}

/// A bounded log of touched hosts. Not part of the replicated state.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Position of the first kept entry.
    first: u64,
    entries: VecDeque<Touched>,
}

impl Journal {
    pub fn push(&mut self, touched: Touched) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(touched);
    }

    /// The position after the newest entry.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Entries from `position` on, or nothing where some of them are no longer kept or the position is beyond the end.
    pub fn since(&self, position: u64) -> Option<impl ExactSizeIterator<Item = Touched> + '_> {
        let skip = usize::try_from(position.checked_sub(self.first)?).ok()?;
        (skip <= self.entries.len()).then(|| self.entries.range(skip..).copied())
    }

    /// Forgets everything, so that every reader rebuilds.
    pub fn reset(&mut self) {
        self.first = self.end() + 1;
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_fell_behind_is_told_so() {
        let mut journal = Journal::default();
        for host in 0..KEPT as u32 + 10 {
            journal.push(Touched { host, layers: false });
        }
        assert!(journal.since(9).is_none());
        assert_eq!(journal.since(10).map(|mut e| e.next().map(|t| t.host)), Some(Some(10)));
        assert_eq!(journal.since(journal.end()).map(|e| e.len()), Some(0));
        let before = journal.end();
        journal.reset();
        assert!(journal.since(before).is_none());
    }

    #[test]
    fn a_position_beyond_the_end_is_of_another_journal() {
        let mut journal = Journal::default();
        journal.push(Touched { host: 1, layers: false });
        assert!(journal.since(2).is_none());
    }
}
