//! How far a fetch is.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use gantry_client::v1::{FetchProgress, FetchState};
use gantry_types::Digest;

use super::order::Order;

/// Bytes of a reason that are told.
const REASON_BYTES: usize = 1_024;

/// Of the layers that an order names; the streams that fetch them write it, and whoever tells of it reads it.
#[derive(Debug)]
pub(super) struct Progress {
    parts: BTreeMap<Digest, Part>,
    total_bytes: u64,
    unpack: bool,
}

#[derive(Debug)]
struct Part {
    size_bytes: u64,
    times: u64,
    present_bytes: AtomicU64,
}

impl Progress {
    pub(super) fn of(order: &Order) -> Self {
        let part =
            |(digest, (size_bytes, times))| (digest, Part { size_bytes, times, present_bytes: AtomicU64::new(0) });
        Self {
            parts: order.distinct().into_iter().map(part).collect(),
            total_bytes: order.layers.iter().map(|(_, size_bytes)| size_bytes).sum(),
            unpack: order.unpack,
        }
    }

    /// So much of a layer is there.
    pub(super) fn present(&self, layer: &Digest, bytes: u64) {
        if let Some(part) = self.parts.get(layer) {
            part.present_bytes.store(bytes.min(part.size_bytes), Ordering::Relaxed);
        }
    }

    pub(super) fn is_there(&self, layer: &Digest) {
        self.present(layer, u64::MAX);
    }

    /// What is told while it is under way.
    pub(super) fn now(&self) -> FetchProgress {
        let present_bytes: u64 =
            self.parts.values().map(|part| part.times * part.present_bytes.load(Ordering::Relaxed)).sum();
        let is_unpacking = self.unpack && present_bytes == self.total_bytes;
        let state = if is_unpacking { FetchState::Unpacking } else { FetchState::Fetching };
        FetchProgress { state: state.into(), present_bytes, total_bytes: self.total_bytes, ..FetchProgress::default() }
    }

    /// What is told before and after, with why where it failed.
    pub(super) fn at(&self, state: FetchState, reason: &str) -> FetchProgress {
        let mut reason = reason.to_owned();
        while reason.len() > REASON_BYTES {
            reason.pop();
        }
        FetchProgress { state: state.into(), reason, ..self.now() }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::order::tests::message, *};

    #[test]
    fn layers_that_are_named_twice_count_twice_and_what_is_all_there_is_being_unpacked() {
        let mut order = Order::parse(&message(&[1, 2, 1])).unwrap();
        order.unpack = true;
        let progress = Progress::of(&order);
        let seen = |progress: &Progress| {
            let FetchProgress { present_bytes, total_bytes, .. } = progress.now();
            (progress.now().state(), present_bytes, total_bytes)
        };
        assert_eq!(seen(&progress), (FetchState::Fetching, 0, 30));
        progress.present(&Digest([1; 32]), 4);
        progress.present(&Digest([3; 32]), 4);
        assert_eq!(seen(&progress), (FetchState::Fetching, 8, 30));
        progress.is_there(&Digest([1; 32]));
        progress.is_there(&Digest([2; 32]));
        assert_eq!(seen(&progress), (FetchState::Unpacking, 30, 30));
        let failed = progress.at(FetchState::Failed, &"ä".repeat(REASON_BYTES));
        assert_eq!((failed.state(), failed.reason.len()), (FetchState::Failed, REASON_BYTES));
    }
}
