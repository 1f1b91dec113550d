//! Where something is in the log, who was voted for, and who the members are: the store's own records of what consensus
//! decides, so that no layout of the consensus library ever lies on disk.

use std::fmt;

use prost::Message;

/// An entry's place in the log: who proposed it, and where. Ordered as Raft orders log ids: leader first, then index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub struct LogPos {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The leader of that term that proposed the entry.
    #[prost(uint64, tag = "2")]
    pub node: u64,
    #[prost(uint64, tag = "3")]
    pub index: u64,
}

impl LogPos {
    pub fn new(term: u64, node: u64, index: u64) -> Self {
        Self { term, node, index }
    }
}

impl fmt::Display for LogPos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index {} of term {} (leader {})", self.index, self.term, self.node)
    }
}

/// Shows an optional position.
pub(crate) fn show(pos: Option<LogPos>) -> String {
    pos.map_or_else(|| "nothing".to_owned(), |pos| pos.to_string())
}

/// A vote. Larger votes win; a committed vote is a leader's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub struct Vote {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub node: u64,
    #[prost(bool, tag = "3")]
    pub committed: bool,
}

/// One node of the cluster.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Member {
    /// Given once, never used for another node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Where its peers reach it, `host:port`.
    #[prost(string, tag = "2")]
    pub raft_addr: String,
    /// Where clients reach it, `host:port`.
    #[prost(string, tag = "3")]
    pub client_addr: String,
}

/// One set of voters. Two of them at once are a joint configuration.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Voters {
    /// Sorted.
    #[prost(uint64, repeated, tag = "1")]
    pub ids: Vec<u64>,
}

/// Who the members were after some log entry.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Membership {
    /// The entry that said so; absent before the cluster was formed.
    #[prost(message, optional, tag = "1")]
    pub pos: Option<LogPos>,
    #[prost(message, repeated, tag = "2")]
    pub configs: Vec<Voters>,
    /// Voters and learners, sorted by id.
    #[prost(message, repeated, tag = "3")]
    pub members: Vec<Member>,
    /// Ids of nodes that once were members and are no more, sorted: never to be used again.
    #[prost(uint64, repeated, tag = "4")]
    pub retired: Vec<u64>,
}

impl Membership {
    /// What follows when `next` is applied after `self`: `next`, remembering every id that ever was a member.
    pub fn succeeded_by(&self, next: &Membership) -> Membership {
        let mut next = next.clone();
        let left = self.members.iter().map(|member| member.id);
        let mut retired: Vec<u64> = self.retired.iter().copied().chain(left).chain(next.retired.drain(..)).collect();
        retired.retain(|id| !next.members.iter().any(|member| member.id == *id));
        retired.sort_unstable();
        retired.dedup();
        next.retired = retired;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(ids: &[u64]) -> Membership {
        let members = ids.iter().map(|id| Member { id: *id, ..Member::default() }).collect();
        Membership { members, ..Membership::default() }
    }

    #[test]
    fn ids_that_left_stay_retired() {
        let after = membership(&[1, 2, 3]).succeeded_by(&membership(&[1, 2])).succeeded_by(&membership(&[1, 4]));
        assert_eq!(after.retired, [2, 3]);
        assert_eq!(after.members.len(), 2);
    }

    #[test]
    fn positions_are_ordered_by_leader_first() {
        assert!(LogPos::new(2, 1, 5) > LogPos::new(1, 3, 9));
        assert!(LogPos::new(2, 2, 5) > LogPos::new(2, 1, 9));
        assert!(LogPos::new(2, 2, 6) > LogPos::new(2, 2, 5));
    }
}
