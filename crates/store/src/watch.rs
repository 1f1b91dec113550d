//! A value that many may watch: a channel of one value, where each receiver sees the newest.
//!
//! As tokio's `watch`, with one difference: those who wait are woken in the order in which they began to wait. Tokio spreads
//! them over several lists by chance, so that a simulation would never run the same way twice.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::Notify;

/// The other half of the channel is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel is closed")]
pub struct Closed;

struct Shared<T> {
    value: RwLock<T>,
    /// Grows with every change, under the value's lock.
    version: AtomicU64,
    senders: AtomicUsize,
    changed: Notify,
}

/// Changes the value. Cheap to clone.
pub struct Sender<T>(Arc<Shared<T>>);

/// Sees the value. Cheap to clone; a clone has seen what the original has.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The value, which nobody changes meanwhile: not to be held for long.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

/// A channel that begins with `value`, which the receiver has seen.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    pub fn new(value: T) -> Self {
        let (version, senders) = (AtomicU64::new(0), AtomicUsize::new(1));
        Self(Arc::new(Shared { value: RwLock::new(value), version, senders, changed: Notify::new() }))
    }

    /// A receiver that has seen the value as it is now.
    pub fn subscribe(&self) -> Receiver<T> {
        let value = self.0.value.read();
        let seen = self.0.version.load(Ordering::Acquire);
        drop(value);
        Receiver { shared: Arc::clone(&self.0), seen }
    }

    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.value.read())
    }

    /// As [`Self::send_replace`]; where nobody can receive it the value comes back, and nothing changes.
    pub fn send(&self, value: T) -> Result<(), T> {
        if Arc::strong_count(&self.0) <= self.0.senders.load(Ordering::Acquire) {
            return Err(value);
        }
        self.send_replace(value);
        Ok(())
    }

    /// Puts a value in place of the old one, which is returned.
    pub fn send_replace(&self, value: T) -> T {
        let mut value = value;
        self.send_modify(|old| std::mem::swap(old, &mut value));
        value
    }

    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// As [`Self::send_modify`]; the receivers hear of it only where `modify` says that it changed something, which is also
    /// what is returned.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.0.value.write();
        let modified = modify(&mut value);
        if modified {
            self.0.version.fetch_add(1, Ordering::Release);
        }
        drop(value);
        if modified {
            self.0.changed.notify_waiters();
        }
        modified
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Receiver<T> {
    /// The value, of which it stays unknown whether this receiver has seen it.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.value.read())
    }

    /// The value, which this receiver has seen then.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.value.read();
        self.seen = self.shared.version.load(Ordering::Acquire);
        Ref(value)
    }

    /// Waits for a value that this receiver has not seen, which it has then.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        self.shared.changed(&mut self.seen).await
    }

    /// Waits for a value that `is_it`; also one that was seen before counts.
    pub async fn wait_for(&mut self, mut is_it: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, Closed> {
        let Self { shared, seen } = self;
        loop {
            {
                let value = shared.value.read();
                *seen = shared.version.load(Ordering::Acquire);
                if is_it(&value) {
                    return Ok(Ref(value));
                }
            }
            shared.changed(seen).await?;
        }
    }
}

impl<T> Shared<T> {
    async fn changed(&self, seen: &mut u64) -> Result<(), Closed> {
        loop {
            // Made before the look: what changes after it wakes this one.
            let changed = self.changed.notified();
            let version = self.version.load(Ordering::Acquire);
            if version != *seen {
                *seen = version;
                return Ok(());
            }
            if self.senders.load(Ordering::Acquire) == 0 {
                return Err(Closed);
            }
            changed.await;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", *self.borrow())
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({:?})", *self.borrow())
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_in_order_and_told_of_the_end() {
        let (sender, receiver) = channel(0);
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let (mut receiver, told) = (receiver.clone(), told.clone());
                tokio::spawn(async move {
                    receiver.changed().await.unwrap();
                    told.send((number, *receiver.borrow())).unwrap();
                    receiver.changed().await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        sender.send_replace(7);
        for number in 0..20 {
            assert_eq!(order.recv().await, Some((number, 7)));
        }
        drop(sender);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Err(Closed));
        }
    }

    #[tokio::test]
    async fn a_value_that_came_before_the_wait_is_not_missed() {
        let (sender, mut receiver) = channel(0);
        sender.send_modify(|value| *value += 1);
        receiver.changed().await.unwrap();
        assert_eq!(*receiver.borrow(), 1);
        assert!(!sender.send_if_modified(|_| false));
        sender.send_replace(5);
        assert_eq!(*receiver.wait_for(|value| *value > 4).await.unwrap(), 5);
        assert_eq!(*receiver.wait_for(|value| *value == 5).await.unwrap(), 5, "also where it was seen");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_change_is_lost_between_threads() {
        let (sender, mut receiver) = channel(0_u64);
        let sending = tokio::spawn(async move {
            for _ in 0..10_000 {
                sender.send_modify(|value| *value += 1);
                tokio::task::yield_now().await;
            }
            sender
        });
        assert_eq!(*receiver.wait_for(|value| *value == 10_000).await.unwrap(), 10_000);
        sending.await.unwrap();
    }
}
