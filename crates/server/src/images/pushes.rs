//! What registries say was pushed to them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gantry_oci::Reference;
use gantry_types::Digest;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Images, Inner};
use crate::node::{Node, unread};

/// Pauses until a registry is asked again that has told of a push: it tells before it has moved the tag.
const MOVES_WITHIN: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5)];
/// References that are waited for at a time. Of what is pushed beyond that is heard when it is checked in its turn.
const WATCHED: usize = 1_024;
/// Images that are looked through under one lock.
const AT_ONCE: usize = 1_024;

/// Pushes that are looked after.
#[derive(Debug)]
pub(super) struct Pushes {
    /// One envelope at a time.
    taking: Arc<Semaphore>,
    /// By reference: what it is to stand for.
    watched: Mutex<HashMap<String, Digest>>,
}

impl Default for Pushes {
    fn default() -> Self {
        Self { taking: Arc::new(Semaphore::new(1)), watched: Mutex::default() }
    }
}

impl Images {
    /// Leave to tell of pushes; nothing while somebody else does.
    pub(crate) fn may_push(&self) -> Option<OwnedSemaphorePermit> {
        // Where nobody asks registries, nothing is done with it.
        let taking =
            self.0.as_ref().map_or_else(|| Arc::new(Semaphore::new(1)), |inner| Arc::clone(&inner.pushes.taking));
        taking.try_acquire_owned().ok()
    }

    /// Something was pushed, and is of that digest: images that stand under that name, in whatever way users write it, are
    /// looked up at once.
    pub(crate) async fn pushed(&self, node: &Node, pushed: HashMap<Reference, Digest>) {
        let Some(inner) = self.leading(node).filter(|_| !pushed.is_empty()) else { return };
        let told = pushed.len();
        let looking = tokio::task::spawn_blocking({
            let (inner, node) = (Arc::clone(inner), node.clone());
            move || inner.known(&node, &pushed)
        });
        let known = match looking.await {
            Ok(known) => known,
            Err(error) => return tracing::error!(error = %unread(error), "pushes are not looked after"),
        };
        tracing::info!(told, known = known.len(), "a registry tells of pushes");
        for (reference, digest) in known {
            inner.watch(node, reference, digest);
        }
    }
}

impl Inner {
    /// References as users write them that are known, or were asked for in vain, and what each is to stand for.
    fn known(&self, node: &Node, pushed: &HashMap<Reference, Digest>) -> Vec<(String, Digest)> {
        let meant = |text: &str| pushed.get(&Reference::parse(text).ok()?).map(|digest| (text.to_owned(), *digest));
        let in_vain: Vec<String> = {
            let seen = self.seen.lock();
            seen.iter().filter(|(_, seen)| seen.stood_for.is_none()).map(|(reference, _)| reference.clone()).collect()
        };
        let mut known: HashMap<String, Digest> = in_vain.iter().filter_map(|reference| meant(reference)).collect();
        let mut after = String::new();
        loop {
            // The lock is not held while names are read: whoever applies need not wait for that.
            let page: Vec<String> = {
                let state = node.state();
                let state = state.read();
                state.fleet.images_after(&after).take(AT_ONCE).map(|entry| entry.image.reference.clone()).collect()
            };
            known.extend(page.iter().filter_map(|reference| meant(reference)));
            match page.into_iter().next_back() {
                Some(last) => after = last,
                None => return known.into_iter().collect(),
            }
        }
    }

    /// One task a reference, however often it is pushed.
    fn watch(self: &Arc<Self>, node: &Node, reference: String, digest: Digest) {
        {
            let mut watched = self.pushes.watched.lock();
            let is_full = watched.len() >= WATCHED;
            match watched.get_mut(&reference) {
                Some(wanted) => return *wanted = digest,
                None if is_full => {
                    return tracing::warn!(reference, "too many pushes at once: it is checked in its turn");
                }
                None => drop(watched.insert(reference.clone(), digest)),
            }
        }
        let (inner, node) = (Arc::clone(self), node.clone());
        tokio::spawn(async move {
            inner.until_moved(&node, &reference).await;
            inner.pushes.watched.lock().remove(&reference);
        });
    }

    /// Looks a reference up until it stands for what was pushed, a few times.
    async fn until_moved(self: &Arc<Self>, node: &Node, reference: &str) {
        for pause in [Duration::ZERO].into_iter().chain(MOVES_WITHIN) {
            tokio::time::sleep(pause).await;
            Arc::clone(self).look_up(node, reference).await;
            let wanted = self.pushes.watched.lock().get(reference).copied();
            if self.stood_for(reference).map(|stands_for| stands_for.named) == wanted {
                return;
            }
        }
    }
}
