//! Request ids of our own making.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// 128 bits that no other process has: the standard library seeds its hashers from the system's randomness.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
});

static COUNT: AtomicU64 = AtomicU64::new(0);

/// An id that no other request has: of a random part of this process and a count.
pub fn new_request_id() -> String {
    format!("{}-{:x}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Gives `id` a fresh value where the caller chose none.
pub(crate) fn fill(id: &mut String) {
    if id.is_empty() {
        *id = new_request_id();
    }
}
