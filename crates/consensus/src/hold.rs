//! Why a node that leads takes nothing on for the moment.

use gantry_store::watch;

/// What keeps a leader from taking on new entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    None,
    /// Another voter is about to lead. What was proposed is still finished, and callers may wait: it takes milliseconds.
    HandingOver,
    /// This node's disk does not answer. Nothing that it applies comes to an end, so callers had better go elsewhere.
    Stalled,
}

/// Who holds the node. Each lets go by itself, and none for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    handing_over: u32,
    stalled: u32,
}

impl Held {
    /// The weightiest reason.
    pub(crate) fn why(self) -> Hold {
        match self {
            Self { stalled: 1.., .. } => Hold::Stalled,
            Self { handing_over: 1.., .. } => Hold::HandingOver,
            Self { .. } => Hold::None,
        }
    }

    fn count(&mut self, why: Hold) -> Option<&mut u32> {
        match why {
            Hold::None => None,
            Hold::HandingOver => Some(&mut self.handing_over),
            Hold::Stalled => Some(&mut self.stalled),
        }
    }
}

/// The switch. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    held: watch::Sender<Held>,
}

impl Holding {
    pub(crate) fn new() -> Self {
        Self { held: watch::Sender::new(Held::default()) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// Holds the node for as long as the result lives.
    pub(crate) fn hold(&self, why: Hold) -> Holder {
        self.held
            .send_if_modified(|held| held.count(why).is_some_and(|count| std::mem::replace(count, *count + 1) == 0));
        Holder { holding: self.clone(), why }
    }

    /// Does `work` unless something holds this node. Whoever calls [`Self::hold`] waits for work under way, so that after it
    /// nothing comes in behind.
    pub(crate) fn unless_held<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let held = self.held.borrow();
        (held.why() == Hold::None).then(work)
    }
}

/// Holds a node.
#[derive(Debug)]
#[must_use = "it holds the node only while it lives"]
pub(crate) struct Holder {
    holding: Holding,
    why: Hold,
}

impl Drop for Holder {
    fn drop(&mut self) {
        let why = self.why;
        self.holding.held.send_if_modified(|held| {
            held.count(why).is_some_and(|count| {
                *count -= 1;
                *count == 0
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_go_lets_go_of_its_own_hold_only() {
        let holding = Holding::new();
        let why = || holding.subscribe().borrow().why();
        let handover = holding.hold(Hold::HandingOver);
        assert_eq!((why(), holding.unless_held(|| ())), (Hold::HandingOver, None));
        let (stalled, again) = (holding.hold(Hold::Stalled), holding.hold(Hold::Stalled));
        drop(handover);
        assert_eq!(
            (why(), holding.unless_held(|| ())),
            (Hold::Stalled, None),
            "a handover that ends frees no stalled disk"
        );
        drop(stalled);
        assert_eq!(why(), Hold::Stalled);
        drop(again);
        assert_eq!((why(), holding.unless_held(|| 7)), (Hold::None, Some(7)));
    }
}
