//! Why a node that leads takes nothing on for the moment.

use tokio::sync::watch;

/// What keeps a leader from taking on new entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    #[default]
    None,
    /// Another voter is about to lead. What was proposed is still finished, and callers may wait: it takes milliseconds.
    HandingOver,
    /// This node's disk does not answer. Nothing that it applies comes to an end, so callers had better go elsewhere.
    Stalled,
}

/// The switch. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    hold: watch::Sender<Hold>,
}

impl Holding {
    pub(crate) fn new() -> Self {
        Self { hold: watch::Sender::new(Hold::None) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Hold> {
        self.hold.subscribe()
    }

    pub(crate) fn set(&self, hold: Hold) {
        self.hold.send_if_modified(|held| std::mem::replace(held, hold) != hold);
    }

    /// Does `work` unless something holds this node. Whoever calls [`Self::set`] waits for work under way, so that after it
    /// nothing comes in behind.
    pub(crate) fn unless_held<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let held = self.hold.borrow();
        (*held == Hold::None).then(work)
    }
}
