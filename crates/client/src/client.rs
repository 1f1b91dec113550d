//! The client: which nodes it asks, and how patiently.

use std::sync::Arc;

use crate::{Error, Retry, node::Node, nodes::Nodes};

/// Calls the placement service. Cheap to clone; clones share connections and what they know of the leader.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) retry: Retry,
}

impl Client {
    /// For the given nodes, `127.0.0.1:7400` or `http://127.0.0.1:7400`. One is enough: errors and answers name the
    /// leader. Nothing is connected before the first call, which must be made inside a tokio runtime.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Error> {
        let nodes = endpoints
            .into_iter()
            .map(|endpoint| Node::new(&endpoint.into()).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { nodes: Arc::new(Nodes::new(nodes)?), retry: Retry::default() })
    }

    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// A client that only ever asks this node, once a call, and reads what that node has applied: for audits, and for
    /// calls that are about one node. What it reads may be behind.
    pub fn on(&self, endpoint: impl Into<String>) -> Result<Self, Error> {
        let node = Node::new(&endpoint.into())?;
        let node = self.nodes.find(&node.address).unwrap_or_else(|| Arc::new(node));
        Ok(Self { nodes: Arc::new(Nodes::pinned(node)), retry: self.retry.never() })
    }

    /// The address of the node that the next call asks: the leader's, once an answer has named it.
    pub fn endpoint(&self) -> String {
        self.nodes.current().address.clone()
    }
}
