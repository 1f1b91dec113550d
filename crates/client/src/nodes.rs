//! The nodes that a client knows, and the one that it asks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::RwLock;
use tonic::Code;

use crate::{Error, node::Node};

/// Nodes that a client knows, those that it was told of by errors included.
const NODES: usize = 64;

#[derive(Debug)]
pub(crate) struct Nodes {
    list: RwLock<Vec<Arc<Node>>>,
    preferred: AtomicUsize,
    /// Only ever asks its one node, whatever that says of a leader.
    pinned: bool,
}

impl Nodes {
    pub(crate) fn new(list: Vec<Arc<Node>>) -> Result<Self, Error> {
        if list.is_empty() || list.len() > NODES {
            let message = format!("{} endpoints are given: 1 to {NODES} are needed", list.len());
            return Err(Error::local(Code::InvalidArgument, "INVALID_ARGUMENT", message));
        }
        Ok(Self { list: RwLock::new(list), preferred: AtomicUsize::new(0), pinned: false })
    }

    pub(crate) fn pinned(node: Arc<Node>) -> Self {
        Self { list: RwLock::new(vec![node]), preferred: AtomicUsize::new(0), pinned: true }
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned
    }

    pub(crate) fn count(&self) -> usize {
        self.list.read().len()
    }

    /// The node to ask next.
    pub(crate) fn current(&self) -> Arc<Node> {
        let list = self.list.read();
        Arc::clone(&list[self.preferred.load(Ordering::Relaxed) % list.len()])
    }

    /// The node with this address, where it is known; connections are shared that way.
    pub(crate) fn find(&self, address: &str) -> Option<Arc<Node>> {
        self.list.read().iter().find(|node| node.address == address).map(Arc::clone)
    }

    /// Moves on from a node that did not help, unless another call did so already.
    pub(crate) fn rotate(&self, from: &Arc<Node>) {
        let list = self.list.read();
        let preferred = self.preferred.load(Ordering::Relaxed);
        if Arc::ptr_eq(&list[preferred % list.len()], from) {
            self.preferred.store((preferred + 1) % list.len(), Ordering::Relaxed);
        }
    }

    /// Asks the leader from now on, as a node named it. False where that is no news, or no help: the leader could not
    /// be reached just now, or the address is of no use.
    pub(crate) fn follow(&self, leader: &str, named_by: &Arc<Node>) -> bool {
        if self.pinned || leader == named_by.address {
            return false;
        }
        let known = self.list.read().iter().position(|node| node.address == leader);
        let Some(position) = known.or_else(|| self.learn(leader)) else { return false };
        if self.list.read()[position].is_avoided() {
            return false;
        }
        self.preferred.store(position, Ordering::Relaxed);
        true
    }

    /// Keeps a node to ask where the others do not help.
    pub(crate) fn note(&self, address: &str) {
        if !self.pinned {
            self.learn(address);
        }
    }

    fn learn(&self, address: &str) -> Option<usize> {
        let node = Node::new(address).ok()?;
        let mut list = self.list.write();
        if let Some(position) = list.iter().position(|known| known.address == node.address) {
            return Some(position);
        }
        if list.len() == NODES {
            return None;
        }
        list.push(Arc::new(node));
        Some(list.len() - 1)
    }
}
