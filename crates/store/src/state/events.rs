//! What happened lately, so that a watcher can resume where it stopped.

use std::collections::VecDeque;

use gantry_fleet::Event;
use gantry_types::Rev;

/// Events kept.
const CAPACITY: usize = 200_000;

/// The newest events, in order. Not part of the replicated state: it begins empty after a restart.
#[derive(Debug)]
pub struct EventRing {
    events: VecDeque<Event>,
    /// Everything after this position is here.
    resumable: Rev,
    capacity: usize,
}

/// Events that were asked for are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events are kept since rev {oldest} only: list the state, then watch from the rev of that answer")]
pub struct Compacted {
    /// The oldest position that can be resumed from.
    pub oldest: Rev,
}

impl Default for EventRing {
    fn default() -> Self {
        Self { events: VecDeque::new(), resumable: 0, capacity: CAPACITY }
    }
}

impl EventRing {
    /// Forgets everything: the next events follow `rev`.
    pub(crate) fn restart_at(&mut self, rev: Rev) {
        self.events.clear();
        self.resumable = rev;
    }

    pub(crate) fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        self.events.extend(events);
        while self.events.len() > self.capacity {
            // All events of a position go together: one can resume after a position, not inside it.
            self.resumable = self.events.front().map_or(self.resumable, |event| event.rev);
            let resumable = self.resumable;
            while self.events.pop_front_if(|event| event.rev <= resumable).is_some() {}
        }
    }

    /// The oldest position that can be resumed from.
    pub fn oldest(&self) -> Rev {
        self.resumable
    }

    /// Events after `rev`, oldest first: about `max`, but never a part of those at one position.
    pub fn after(&self, rev: Rev, max: usize) -> Result<Vec<Event>, Compacted> {
        if rev < self.resumable {
            return Err(Compacted { oldest: self.resumable });
        }
        let start = self.events.partition_point(|event| event.rev <= rev);
        let end = self.events.len().min(start.saturating_add(max.max(1)));
        let last = self.events.range(start..end).next_back().map_or(rev, |event| event.rev);
        let rest = self.events.range(end..).take_while(|event| event.rev == last);
        Ok(self.events.range(start..end).chain(rest).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use gantry_fleet::EventKind;

    use super::*;

    fn ring(capacity: usize, revs: &[Rev]) -> EventRing {
        let mut ring = EventRing { capacity, ..EventRing::default() };
        let event = |rev: &Rev| Event { rev: *rev, stamp: 0, kind: EventKind::FeatureLevel(1) };
        ring.extend(revs.iter().map(event));
        ring
    }

    fn revs(events: Result<Vec<Event>, Compacted>) -> Result<Vec<Rev>, Compacted> {
        events.map(|events| events.iter().map(|event| event.rev).collect())
    }

    #[test]
    fn a_position_is_never_split() {
        let ring = ring(10, &[1, 2, 2, 2, 3]);
        assert_eq!(revs(ring.after(0, 2)), Ok(vec![1, 2, 2, 2]));
        assert_eq!(revs(ring.after(2, 2)), Ok(vec![3]));
        assert_eq!(revs(ring.after(9, 2)), Ok(vec![]));
    }

    #[test]
    fn what_was_dropped_is_said() {
        let ring = ring(3, &[1, 2, 2, 2, 3]);
        assert_eq!(revs(ring.after(1, 9)), Err(Compacted { oldest: 2 }));
        assert_eq!(revs(ring.after(2, 9)), Ok(vec![3]));
    }

    #[test]
    fn after_a_restart_only_what_follows_is_known() {
        let mut ring = ring(3, &[1]);
        ring.restart_at(7);
        assert_eq!(revs(ring.after(6, 9)), Err(Compacted { oldest: 7 }));
        assert_eq!(revs(ring.after(7, 9)), Ok(vec![]));
    }
}
