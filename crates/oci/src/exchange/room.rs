//! Memory for what is being read from all hosts together: many that send much at the same time do not take more.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A part of it, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Taken(Option<OwnedSemaphorePermit>);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Adds to what is taken; false where there is not so much left.
    pub(super) fn take(&self, bytes: usize, taken: &mut Taken) -> bool {
        let permit = u32::try_from(bytes).ok().and_then(|bytes| Arc::clone(&self.0).try_acquire_many_owned(bytes).ok());
        let Some(permit) = permit else { return false };
        match &mut taken.0 {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_by_all_has_a_bound_and_comes_back() {
        let room = Room::new(100);
        let (mut one, mut other) = (Taken::default(), Taken::default());
        assert!(room.take(40, &mut one) && room.take(40, &mut one) && room.take(20, &mut other));
        assert!(!room.take(1, &mut other));
        drop(one);
        assert!(room.take(80, &mut other));
        assert!(!room.take(1, &mut other));
    }
}
