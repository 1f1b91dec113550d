//! A host's link: a few flows at a time, in the order in which layers are asked for.

use super::{Paces, STREAMS, pace::Exact};

/// What was asked of a link so far. Times are microseconds since any beginning, the same for all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) paces: Paces,
    /// When the last of the bytes asked for has passed, were there always as many flows as the link carries.
    passed: Exact,
    /// When the last flow in each place ends.
    free_us: [u64; STREAMS],
}

impl Link {
    pub(super) fn new(paces: Paces) -> Self {
        Self { paces, ..Self::default() }
    }

    /// Asks for a layer; returns when it is there.
    #[inline]
    pub(super) fn fetch(&mut self, at_us: u64, bytes: u64) -> u64 {
        self.passed = self.passed.max(Exact::from_us(at_us)).plus(self.paces.link, bytes);
        let place = self.free_us.iter_mut().min().expect("a link has places");
        let flow_us = at_us.max(*place).saturating_add(self.paces.stream.us(bytes));
        *place = flow_us.max(self.passed.us());
        *place
    }
}
