//! The hash of a whole state.

use gantry_fleet::Row;
use xxhash_rust::xxh3::Xxh3Default;

use crate::family;

/// Takes rows in canonical order, each as its key and its value, both with their lengths, so that no two different states
/// give the same bytes.
#[derive(Default)]
pub(crate) struct StateHasher {
    hasher: Xxh3Default,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl StateHasher {
    pub(crate) fn row(&mut self, row: &Row) {
        let Self { key, value, .. } = self;
        family::encode(row, key, value);
        let (key, value) = (std::mem::take(&mut self.key), std::mem::take(&mut self.value));
        self.encoded(&key, &value);
        (self.key, self.value) = (key, value);
    }

    pub(crate) fn encoded(&mut self, key: &[u8], value: &[u8]) {
        for part in [key, value] {
            self.hasher.update(&(part.len() as u32).to_le_bytes());
            self.hasher.update(part);
        }
    }

    pub(crate) fn finish(&self) -> u128 {
        self.hasher.digest128()
    }
}
