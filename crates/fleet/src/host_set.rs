//! A set of hosts, such as those on which a layer lies: a sorted list while they are few, a bit a host once they are many.
//!
//! A layer that lies everywhere would cost a list four bytes a host, and moving half of them at every change.

use std::ops::ControlFlow;

use gantry_types::HostId;

/// A list becomes bits where those take less: a bit for every host number, against 32 for each that is in.
const MANY: usize = 32;
/// Bits become a list again well below that, so that a set on the edge does not change back and forth.
const FEW: usize = 128;
/// A list this short is never worth bits.
const SHORT: usize = 64;

#[derive(Clone, Debug)]
pub struct HostSet(Hosts);

#[derive(Clone, Debug)]
enum Hosts {
    /// Sorted.
    Few(Vec<HostId>),
    Many {
        words: Vec<u64>,
        len: usize,
    },
}

impl Default for HostSet {
    fn default() -> Self {
        Self(Hosts::Few(Vec::new()))
    }
}

impl HostSet {
    /// Of hosts in order, each once.
    pub fn of_sorted(hosts: &[HostId]) -> Self {
        debug_assert!(hosts.is_sorted(), "hosts in another order are not found again");
        let mut set = Self(Hosts::Few(hosts.to_vec()));
        set.become_many();
        set
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Hosts::Few(hosts) => hosts.len(),
            Hosts::Many { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, host: HostId) -> bool {
        match &self.0 {
            Hosts::Few(hosts) => hosts.binary_search(&host).is_ok(),
            Hosts::Many { words, .. } => {
                let (at, mask) = place(host);
                words.get(at).is_some_and(|word| word & mask != 0)
            }
        }
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = HostId> + '_ {
        let (hosts, words) = match &self.0 {
            Hosts::Few(hosts) => (hosts.as_slice(), &[][..]),
            Hosts::Many { words, .. } => (&[][..], words.as_slice()),
        };
        hosts.iter().copied().chain((0..).zip(words).flat_map(|(at, &word)| bits(at, word)))
    }

    /// As iterating, faster.
    pub fn for_each(&self, mut visit: impl FnMut(HostId)) {
        match &self.0 {
            Hosts::Few(hosts) => hosts.iter().copied().for_each(visit),
            Hosts::Many { words, .. } => {
                for (at, &word) in (0..).zip(words) {
                    let mut left = word;
                    while left != 0 {
                        visit(at * 64 + left.trailing_zeros());
                        left &= left - 1;
                    }
                }
            }
        }
    }

    /// Those that are in both, in order, until `visit` says that it is enough.
    pub fn for_each_common(&self, other: &Self, mut visit: impl FnMut(HostId) -> ControlFlow<()>) {
        match (&self.0, &other.0) {
            (Hosts::Few(hosts), _) | (Hosts::Many { .. }, Hosts::Few(hosts)) => {
                let larger = if matches!(self.0, Hosts::Few(_)) { other } else { self };
                _ = hosts.iter().filter(|&&host| larger.contains(host)).try_for_each(|&host| visit(host));
            }
            (Hosts::Many { words, .. }, Hosts::Many { words: others, .. }) => {
                for (at, (word, other)) in (0..).zip(words.iter().zip(others)) {
                    if bits(at, word & other).try_for_each(&mut visit).is_break() {
                        return;
                    }
                }
            }
        }
    }

    pub fn insert(&mut self, host: HostId) {
        match &mut self.0 {
            Hosts::Few(hosts) => {
                let at = if hosts.last().is_none_or(|&last| last < host) {
                    Err(hosts.len())
                } else {
                    hosts.binary_search(&host)
                };
                if let Err(at) = at {
                    hosts.insert(at, host);
                    self.become_many();
                }
            }
            Hosts::Many { words, len } => {
                let (at, mask) = place(host);
                if words.len() <= at {
                    words.resize(at + 1, 0);
                }
                *len += usize::from(words[at] & mask == 0);
                words[at] |= mask;
            }
        }
    }

    pub fn remove(&mut self, host: HostId) {
        match &mut self.0 {
            Hosts::Few(hosts) => {
                if let Ok(at) = hosts.binary_search(&host) {
                    hosts.remove(at);
                }
            }
            Hosts::Many { words, len } => {
                let (at, mask) = place(host);
                if words.get(at).is_some_and(|word| word & mask != 0) {
                    words[at] &= !mask;
                    *len -= 1;
                    self.become_few();
                }
            }
        }
    }

    fn become_many(&mut self) {
        let Hosts::Few(hosts) = &self.0 else { return };
        let end = hosts.last().map_or(0, |&last| last as usize + 1);
        if hosts.len() <= SHORT || hosts.len() * MANY <= end {
            return;
        }
        let mut words = vec![0; end.div_ceil(64)];
        for &host in hosts {
            let (at, mask) = place(host);
            words[at] |= mask;
        }
        self.0 = Hosts::Many { words, len: hosts.len() };
    }

    fn become_few(&mut self) {
        if matches!(&self.0, Hosts::Many { words, len } if len * FEW < words.len() * 64) {
            self.0 = Hosts::Few(self.iter().collect());
        }
    }
}

fn place(host: HostId) -> (usize, u64) {
    (host as usize / 64, 1 << (host % 64))
}

fn bits(at: HostId, mut word: u64) -> impl Iterator<Item = HostId> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        Some(at * 64 + bit)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_holds_what_a_plain_set_holds() {
        let (mut set, mut plain) = (HostSet::default(), BTreeSet::new());
        let mut many = 0;
        // First mostly in, then mostly out, over numbers up to 4096 in an order that jumps about.
        for step in 0..40_000_u64 {
            let draw = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let host = (draw % 4_096) as HostId;
            let add = (step < 20_000) == (draw >> 16 & 7 != 0);
            if add {
                set.insert(host);
                plain.insert(host);
            } else {
                set.remove(host);
                plain.remove(&host);
            }
            many += usize::from(matches!(set.0, Hosts::Many { .. }));
            assert_eq!(set.contains(host), add);
            if step % 97 == 0 || step > 39_900 {
                assert!(set.iter().eq(plain.iter().copied()), "step {step}");
                let mut visited = Vec::new();
                set.for_each(|host| visited.push(host));
                assert!(visited.into_iter().eq(plain.iter().copied()), "step {step}");
                assert_eq!((set.len(), set.is_empty()), (plain.len(), plain.is_empty()));
            }
        }
        let sorted: Vec<HostId> = plain.iter().copied().collect();
        assert!(HostSet::of_sorted(&sorted).iter().eq(plain.iter().copied()));
        assert!(many > 1_000, "it was never large");
    }

    #[test]
    fn it_changes_its_form_and_back() {
        let mut set = HostSet::default();
        (0..1_000).for_each(|host| set.insert(host * 3));
        assert!(matches!(set.0, Hosts::Many { .. }));
        (20..1_000).for_each(|host| set.remove(host * 3));
        assert!(matches!(set.0, Hosts::Few(_)));
        assert!(set.iter().eq((0..20).map(|host| host * 3)));
        set.remove(1);
        assert_eq!(set.len(), 20);
    }
}
