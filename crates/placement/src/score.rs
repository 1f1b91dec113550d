//! The order of feasible hosts. To add a term, write its file and add its line to [`TERMS`].

mod disk;
mod layers;
mod packing;
mod spread;

use std::cmp::Reverse;

use gantry_types::HostId;

use crate::{Ask, Room};

pub use layers::present_bytes;

/// A named number by which hosts are compared; a larger one is better.
#[derive(Debug)]
pub struct Term {
    pub name: &'static str,
    /// Given the bytes of the asked image that are already on the host.
    pub value: fn(&Ask<'_>, &Room<'_>, u64) -> i64,
    /// What `value` is at most, whatever room the host has. The lower, the fewer hosts a planner has to look at.
    pub at_best: fn(&Ask<'_>, u64) -> i64,
    /// The same where the thousandths are known that all of the host's devices have left: never above `at_best`.
    pub at_best_with: fn(&Ask<'_>, u64, u32) -> i64,
}

/// All terms, the most important first: a later one only decides between hosts that are equal in all before it.
pub const TERMS: &[Term] = &[layers::TERM, packing::TERM, disk::TERM, spread::TERM];

/// A host's place in the order. The fields from top to bottom are the priorities; equal hosts go by the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    pub terms: [i64; TERMS.len()],
    pub host: Reverse<HostId>,
}

impl Score {
    pub fn new(ask: &Ask<'_>, room: &Room<'_>, present_bytes: u64) -> Self {
        let terms = std::array::from_fn(|at| (TERMS[at].value)(ask, room, present_bytes));
        debug_assert!(
            TERMS.iter().zip(terms).all(|(term, value)| value <= (term.at_best)(ask, present_bytes)),
            "a term of {terms:?} is above what it says it is at best"
        );
        debug_assert!(
            Self { terms, host: Reverse(room.host.id) }
                <= Self::at_best_with(ask, room.host.id, present_bytes, room.free_gpu_milli() as u32),
            "{terms:?} is above what it says it is at best with this room"
        );
        Self { terms, host: Reverse(room.host.id) }
    }

    /// No score of this host is above this one while its layers stay.
    pub fn at_best(ask: &Ask<'_>, host: HostId, present_bytes: u64) -> Self {
        let terms = std::array::from_fn(|at| (TERMS[at].at_best)(ask, present_bytes));
        Self { terms, host: Reverse(host) }
    }

    /// No score of this host is above this one while its layers stay and its devices have this left.
    pub fn at_best_with(ask: &Ask<'_>, host: HostId, present_bytes: u64, gpu_milli: u32) -> Self {
        let terms = std::array::from_fn(|at| (TERMS[at].at_best_with)(ask, present_bytes, gpu_milli));
        Self { terms, host: Reverse(host) }
    }
}
