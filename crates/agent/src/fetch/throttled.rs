//! Images that were fetched more slowly than the link allows: how long that took says nothing of the host.

use std::{collections::VecDeque, sync::Arc};

use gantry_types::Digest;
use parking_lot::Mutex;

/// Images remembered. They are asked for right after they were fetched.
const REMEMBERED: usize = 256;

/// A handle; its clones remember the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Throttled(Arc<Mutex<VecDeque<Digest>>>);

impl Throttled {
    /// By the digest of its manifest.
    pub(crate) fn note(&self, manifest: Digest) {
        let mut known = self.0.lock();
        known.retain(|digest| *digest != manifest);
        if known.len() == REMEMBERED {
            known.pop_front();
        }
        known.push_back(manifest);
    }

    pub(crate) fn has(&self, manifest: &Digest) -> bool {
        self.0.lock().contains(manifest)
    }
}
