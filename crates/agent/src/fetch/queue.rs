//! Which fetches there are: who wants them, which wait, and which are the same.

use std::collections::BTreeMap;

use super::{WAITING, order::Key};

/// Of one piece of work. Smaller ones were asked for earlier.
pub(super) type Ticket = u64;

/// Who wants a fetch: ids are of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub connection: u64,
    pub id: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    at_once: usize,
    next: Ticket,
    entries: BTreeMap<Ticket, Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    askers: Vec<Asker>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    /// Runs until it has noticed that nobody wants it.
    Stopping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    New(Ticket),
    /// What was asked for before is the same.
    Joined(Ticket),
    Full,
    /// The asker waits under this id already.
    Used,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// It runs, and nobody else wants it.
    Stop(Ticket),
    /// It waited.
    Dropped(Ticket),
    /// Others want it.
    Left,
    Unknown,
}

impl Queue {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, next: 0, entries: BTreeMap::new() }
    }

    pub(super) fn ask(&mut self, asker: Asker, key: Key) -> Asked {
        if self.entries.values().any(|entry| entry.askers.contains(&asker)) {
            return Asked::Used;
        }
        let is_same = |entry: &Entry| entry.key == key && entry.state != State::Stopping;
        if let Some((ticket, entry)) = self.entries.iter_mut().find(|(_, entry)| is_same(entry)) {
            if entry.askers.len() == WAITING {
                return Asked::Full;
            }
            entry.askers.push(asker);
            return Asked::Joined(*ticket);
        }
        if self.count(State::Waiting) == WAITING {
            return Asked::Full;
        }
        let ticket = self.next;
        self.next += 1;
        self.entries.insert(ticket, Entry { key, askers: vec![asker], state: State::Waiting });
        Asked::New(ticket)
    }

    /// What may start now, which it has with this.
    pub(super) fn start(&mut self) -> Option<Ticket> {
        if self.under_way() >= self.at_once {
            return None;
        }
        let (ticket, entry) = self.entries.iter_mut().find(|(_, entry)| entry.state == State::Waiting)?;
        entry.state = State::Running;
        Some(*ticket)
    }

    pub(super) fn cancel(&mut self, asker: Asker) -> Cancelled {
        let wanted = self.entries.iter_mut().find(|(_, entry)| entry.askers.contains(&asker));
        let Some((&ticket, entry)) = wanted else { return Cancelled::Unknown };
        entry.askers.retain(|known| *known != asker);
        if !entry.askers.is_empty() {
            return Cancelled::Left;
        }
        if entry.state == State::Waiting {
            self.entries.remove(&ticket);
            return Cancelled::Dropped(ticket);
        }
        entry.state = State::Stopping;
        Cancelled::Stop(ticket)
    }

    /// It ended, and these wanted it.
    pub(super) fn finished(&mut self, ticket: Ticket) -> Vec<Asker> {
        self.entries.remove(&ticket).map(|entry| entry.askers).unwrap_or_default()
    }

    pub(super) fn askers(&self, ticket: Ticket) -> &[Asker] {
        self.entries.get(&ticket).map_or(&[], |entry| &entry.askers)
    }

    /// Nobody is connected: what runs goes on, and what waits is dropped, which is returned.
    pub(super) fn disconnected(&mut self) -> Vec<Ticket> {
        self.entries.values_mut().for_each(|entry| entry.askers.clear());
        let waits = |(ticket, entry): (&Ticket, &Entry)| (entry.state == State::Waiting).then_some(*ticket);
        let dropped: Vec<Ticket> = self.entries.iter().filter_map(waits).collect();
        self.entries.retain(|_, entry| entry.state != State::Waiting);
        dropped
    }

    /// Nobody is connected for too long: what is to be stopped.
    pub(super) fn stop_unwanted(&mut self) -> Vec<Ticket> {
        let unwanted = |entry: &Entry| entry.askers.is_empty() && entry.state == State::Running;
        let mut stopped = Vec::new();
        for (ticket, entry) in self.entries.iter_mut().filter(|(_, entry)| unwanted(entry)) {
            entry.state = State::Stopping;
            stopped.push(*ticket);
        }
        stopped
    }

    pub(super) fn waiting(&self) -> usize {
        self.count(State::Waiting)
    }

    pub(super) fn under_way(&self) -> usize {
        self.entries.len() - self.waiting()
    }

    fn count(&self, state: State) -> usize {
        self.entries.values().filter(|entry| entry.state == state).count()
    }
}

#[cfg(test)]
mod tests {
    use gantry_types::Digest;

    use super::*;

    fn key(number: usize) -> Key {
        let mut digest = Digest([0; 32]);
        digest.0[..8].copy_from_slice(&number.to_be_bytes());
        Key(digest)
    }

    fn asker(id: u64) -> Asker {
        Asker { connection: 1, id }
    }

    #[test]
    fn few_run_and_the_rest_follow_in_their_order() {
        let mut queue = Queue::new(2);
        let tickets: Vec<Asked> = (0..4).map(|n| queue.ask(asker(n), key(n as usize))).collect();
        assert_eq!(tickets, [0, 1, 2, 3].map(Asked::New));
        assert_eq!((queue.start(), queue.start(), queue.start()), (Some(0), Some(1), None));
        assert_eq!((queue.under_way(), queue.waiting()), (2, 2));
        assert_eq!(queue.finished(1), [asker(1)]);
        assert_eq!((queue.start(), queue.start()), (Some(2), None));
    }

    #[test]
    fn the_same_work_is_done_once_and_goes_on_while_somebody_wants_it() {
        let mut queue = Queue::new(1);
        assert_eq!(queue.ask(asker(1), key(7)), Asked::New(0));
        assert_eq!(queue.ask(asker(2), key(7)), Asked::Joined(0));
        assert_eq!(queue.ask(asker(2), key(8)), Asked::Used);
        assert_eq!(queue.start(), Some(0));
        assert_eq!(queue.cancel(asker(1)), Cancelled::Left);
        assert_eq!(queue.cancel(asker(1)), Cancelled::Unknown);
        assert_eq!(queue.cancel(asker(2)), Cancelled::Stop(0));
        // What is being stopped is no use to who comes now, and is still at work.
        assert_eq!(queue.ask(asker(3), key(7)), Asked::New(1));
        assert_eq!(queue.start(), None);
        assert_eq!(queue.finished(0), []);
        assert_eq!(queue.start(), Some(1));
        assert_eq!(queue.ask(asker(4), key(9)), Asked::New(2));
        assert_eq!(queue.cancel(asker(4)), Cancelled::Dropped(2));
    }

    #[test]
    fn more_than_can_wait_are_refused() {
        let mut queue = Queue::new(1);
        for n in 0..WAITING {
            assert!(matches!(queue.ask(asker(n as u64), key(n)), Asked::New(_)));
        }
        assert_eq!(queue.ask(asker(1_000), key(1_000)), Asked::Full);
        queue.start();
        assert!(matches!(queue.ask(asker(1_000), key(1_000)), Asked::New(_)));
    }

    #[test]
    fn what_runs_outlives_its_connection_and_can_be_joined_on_the_next() {
        let mut queue = Queue::new(1);
        queue.ask(asker(1), key(1));
        queue.ask(asker(2), key(2));
        queue.start();
        assert_eq!(queue.disconnected(), [1]);
        let again = Asker { connection: 2, id: 1 };
        assert_eq!(queue.ask(again, key(1)), Asked::Joined(0));
        assert_eq!(queue.stop_unwanted(), [0; 0]);
        queue.disconnected();
        assert_eq!(queue.stop_unwanted(), [0]);
        assert_eq!(queue.stop_unwanted(), [0; 0], "once");
    }
}
